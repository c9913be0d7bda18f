// Pipes whose numbers are known, so that another thread may write to them.

import { checked, libc } from "./libc.ts";

const O_CLOEXEC_NONBLOCK = 0x80000 | 0x800;

/** Both ends are closed on exec and never block. Throws `SystemCallError`. */
export function createPipe(): { readFd: number; writeFd: number } {
  const ends = new Int32Array(2);
  checked("pipe2", libc().pipe2(ends, O_CLOEXEC_NONBLOCK));
  return { readFd: ends[0] ?? -1, writeFd: ends[1] ?? -1 };
}

/**
 * Makes the number `target` stand for the open file of `fd`, in one step: whoever writes to `target` meanwhile reaches
 * the old file or the new one, never another. Throws `SystemCallError`.
 */
export function replaceDescriptor(target: number, fd: number): void {
  checked("dup3", libc().dup3(fd, target, 0x80000));
}
