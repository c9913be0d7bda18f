// A process by file descriptor: it is never mistaken for a later one with its number, and it can be waited for.

import { checked, ioctlErrno, libc, SystemCallError } from "./libc.ts";
import { exitStatusOf, PIDFD_GET_INFO, pidfdInfoRequest } from "./structs/pidfd-info.ts";

// The same number on every architecture; the wrappers are younger than the C libraries that observer runs with.
const SYS_PIDFD_SEND_SIGNAL = 424;
const SYS_PIDFD_OPEN = 434;

const ENOTTY = 25;
const EINVAL = 22;
const ESRCH = 3;

/**
 * A descriptor of the process, closed on exec. It becomes readable (one edge) when the process ends and reports
 * EPOLLHUP (the next edge) when it is reaped; both may come as one. Needs no privilege, whoever owns the process.
 * Throws `SystemCallError`: ESRCH when there is none, EINVAL for a thread or a number below 1.
 */
export function openPidfd(pid: number): number {
  return checked("pidfd_open", libc().syscall(SYS_PIDFD_OPEN, pid, 0, 0, 0));
}

/** Sends a signal; 0 only asks whether it could. Throws `SystemCallError`: ESRCH when it was reaped, EPERM. */
export function signalPidfd(fd: number, signal: number): void {
  checked("pidfd_send_signal", libc().syscall(SYS_PIDFD_SEND_SIGNAL, fd, signal, 0, 0));
}

/**
 * The wait status of a process that need not be our child. Null until it is reaped, and for ever on Linux before
 * 6.15. Throws `SystemCallError` when `fd` is no pidfd that is open.
 */
export function pidfdExit(fd: number): number | null {
  const info = pidfdInfoRequest();
  const errno = ioctlErrno(fd, PIDFD_GET_INFO, info);
  if (errno === 0) return exitStatusOf(info);
  // ENOTTY, EINVAL: a kernel without the request or without this layout. ESRCH: reaped before the kernel kept statuses.
  if (errno === ENOTTY || errno === EINVAL || errno === ESRCH) return null;
  throw new SystemCallError("PIDFD_GET_INFO", errno);
}
