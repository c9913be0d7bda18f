// Where a sparse file has holes: parts that read as zeros and take no space. See lseek(2), SEEK_DATA and SEEK_HOLE.

import { libc, resultOf } from "./libc.ts";

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const ENXIO = 6;

export interface Hole {
  /** In bytes from the beginning. */
  start: number;
  length: number;
}

/**
 * Holes of the open file among its first `size` bytes, in order; undefined when there are more than `most`.
 * None where the file system cannot tell. Moves the file's offset.
 */
export function holesOf(fd: number, options: { size: number; most: number }): Hole[] | undefined {
  const { lseek } = libc();
  const { size, most } = options;
  const holes: Hole[] = [];
  for (let at = 0; at < size;) {
    const start = resultOf(lseek(fd, at, SEEK_HOLE));
    if (start < 0 || start >= size) break;
    if (holes.length === most) return undefined;
    const data = resultOf(lseek(fd, start, SEEK_DATA));
    // No data any more: the hole goes to the end.
    const end = data === -ENXIO ? size : Math.min(data, size);
    if (end <= start) break;
    holes.push({ start, length: end - start });
    at = end;
  }
  return holes;
}
