// Whether a signal can have been typed: what the controlling terminal does with Ctrl-C, and whom it tells.

import { closeSync, openSync } from "node:fs";
import { endianness } from "node:os";
import { readKernelText } from "./kernel-file.ts";
import { ioctl } from "./libc.ts";

// <asm-generic/ioctls.h>, the same on x86-64 and arm64.
const TCGETS = 0x5401;
// struct termios of the kernel: four flag words, a line discipline and control characters.
const TERMIOS_BYTES = 64;
const LOCAL_FLAGS_AT = 12;
const ISIG = 1;

// Fields of /proc/self/stat after the command, counted from the state: proc_pid_stat(5).
const GROUP = 2;
const FOREGROUND_GROUP = 5;

/**
 * True when this process is in the foreground of a terminal that turns Ctrl-C into a signal: then SIGINT and SIGQUIT
 * were most likely typed, and everyone in the group has them. False also where there is no terminal.
 */
export function keyboardSignals(): boolean {
  return inForeground(readKernelText("/proc/self/stat") ?? "") && turnsKeysIntoSignals();
}

/** From the text of /proc/PID/stat. */
export function inForeground(stat: string): boolean {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const foreground = fields[FOREGROUND_GROUP];
  return foreground !== undefined && foreground !== "-1" && foreground === fields[GROUP];
}

function turnsKeysIntoSignals(): boolean {
  const termios = new Uint8Array(new ArrayBuffer(TERMIOS_BYTES));
  let fd: number | null = null;
  try {
    fd = openSync("/dev/tty", "r");
    ioctl(fd, TCGETS, termios);
    const flags = new DataView(termios.buffer).getUint32(LOCAL_FLAGS_AT, endianness() === "LE");
    return (flags & ISIG) !== 0;
  } catch {
    return false;
  } finally {
    if (fd !== null) closeSync(fd);
  }
}
