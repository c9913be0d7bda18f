// The only place that opens a foreign library: the calls of libc that observer makes itself.

import { dlopen } from "bun:ffi";

const SYMBOLS = {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  send: { args: ["i32", "ptr", "usize", "i32"], returns: "i64" },
  recv: { args: ["i32", "ptr", "usize", "i32"], returns: "i64" },
  close: { args: ["i32"], returns: "i32" },
} as const;

function open() {
  return dlopen("libc.so.6", SYMBOLS).symbols;
}

export type Libc = ReturnType<typeof open>;

let opened: Libc | null = null;

/** The symbols; opened at the first call. Throws where there is no glibc under its usual name. */
export function libc(): Libc {
  opened ??= open();
  return opened;
}
