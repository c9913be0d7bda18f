// struct pidfd_info of PIDFD_GET_INFO (linux/pidfd.h, since Linux 6.13; the exit status since 6.15).

/** `_IOWR(0xFF, 11, struct pidfd_info)` of the first, 64-byte layout, which later kernels accept. */
export const PIDFD_GET_INFO = 0xc040ff0b;
const INFO_BYTES = 64;
// PIDFD_INFO_PID | CREDS | CGROUPID | EXIT: the kernel clears what it cannot tell.
const WANTED = 0xfn;
const EXIT = 8n;
const MASK_AT = 0;
const EXIT_CODE_AT = 60;

/** The buffer to ask with. */
export function pidfdInfoRequest(): Uint8Array {
  const bytes = new Uint8Array(INFO_BYTES);
  new DataView(bytes.buffer).setBigUint64(MASK_AT, WANTED, true);
  return bytes;
}

/** The wait status in an answer; null while the process lives or waits to be reaped. */
export function exitStatusOf(answer: Uint8Array): number | null {
  const view = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
  if ((view.getBigUint64(MASK_AT, true) & EXIT) === 0n) return null;
  return view.getInt32(EXIT_CODE_AT, true);
}
