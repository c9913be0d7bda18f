// Gives the blocks of a part of a file back to the file system; the part reads as zeros then.

import { libc } from "./libc.ts";

// fallocate(2)
const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;

/** False where the file system cannot do it. Blocks that lie in the part only partly are overwritten with zeros. */
export function punchHole(fd: number, offset: number, length: number): boolean {
  return libc().fallocate(fd, PUNCH_HOLE | KEEP_SIZE, offset, length) === 0;
}
