// Asks which of several files can be read, without waiting.

import { checked, libc } from "./libc.ts";

// struct pollfd { int fd; short events; short revents; }, the same on every architecture.
const POLLFD_BYTES = 8;
const REVENTS_AT = 6;
const POLLIN = 1;

/** One answer per descriptor, in their order: true when it can be read, has ended or failed. Throws `SystemCallError`. */
export function readableNow(fds: readonly number[]): boolean[] {
  if (fds.length === 0) return [];
  const request = new Uint8Array(new ArrayBuffer(fds.length * POLLFD_BYTES));
  const view = new DataView(request.buffer);
  for (const [index, fd] of fds.entries()) {
    view.setInt32(index * POLLFD_BYTES, fd, true);
    view.setInt16(index * POLLFD_BYTES + 4, POLLIN, true);
  }
  checked("poll", libc().poll(request, fds.length, 0));
  return fds.map((_, index) => view.getInt16(index * POLLFD_BYTES + REVENTS_AT, true) !== 0);
}
