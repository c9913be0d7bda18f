// eventfd(2): a counter in the kernel that wakes whoever waits for it.

import { checked, libc } from "./libc.ts";

// EFD_CLOEXEC | EFD_NONBLOCK.
const FLAGS = 0x80800;

/** A new counter at 0; non-blocking, closed on exec. Throws `SystemCallError`. */
export function createEventfd(): number {
  return checked("eventfd", libc().eventfd(0, FLAGS));
}

/** Adds 1, which wakes. Throws `SystemCallError`. */
export function signalEventfd(fd: number): void {
  checked("write", libc().write(fd, new BigUint64Array([1n]), 8));
}
