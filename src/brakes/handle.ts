// One process, held so that a later one with its number is never signalled.

import { closeSync } from "node:fs";
import { constants } from "node:os";
import type { ProcessId } from "../core/agent.ts";
import { messageOf, ObserverError } from "../core/errors.ts";
import { failedWith } from "../kernel/libc.ts";
import { openPidfd, signalPidfd } from "../kernel/pidfd.ts";
import { readableNow } from "../kernel/poll.ts";
import { readStat, readUid } from "../kernel/procfs.ts";
import { isSame } from "./target.ts";

export type BrakeSignal = "SIGTERM" | "SIGKILL" | "SIGSTOP" | "SIGCONT";

/** A process by pidfd. */
export interface Handle extends ProcessId {
  fd: number;
}

/** Whether this very process exists: alive, or a zombie that was not reaped. */
export function exists(id: ProcessId): boolean {
  const stat = readStat(id.pid);
  return stat !== null && isSame(stat, id);
}

/**
 * Opens the process and looks at its start time afterwards: only then the descriptor is known to be of the process
 * that was meant. Null when that one is gone. Throws `ObserverError` `unsupported`, `failed`.
 */
export function hold(id: ProcessId): Handle | null {
  let fd: number;
  try {
    fd = openPidfd(id.pid);
  } catch (error) {
    // EINVAL: the number is a thread's by now.
    if (failedWith(error, "ESRCH", "EINVAL")) return null;
    throw new ObserverError(
      failedWith(error, "ENOSYS", "EPERM") ? "unsupported" : "failed",
      `Cannot hold process ${id.pid}: ${messageOf(error)}`,
      { cause: error },
    );
  }
  if (exists(id)) return { pid: id.pid, startTicks: id.startTicks, fd };
  closeSync(fd);
  return null;
}

export function release(handle: Handle): void {
  closeSync(handle.fd);
}

/** False when it has ended. Throws `ObserverError` `not_permitted`, `failed`. */
export function signal(handle: Handle, name: BrakeSignal): boolean {
  try {
    signalPidfd(handle.fd, constants.signals[name]);
    return true;
  } catch (error) {
    if (failedWith(error, "ESRCH")) return false;
    throw signalError(handle, name, error);
  }
}

/** `hold`, `signal` and `release` in one. False when the process is gone. */
export function signalProcess(id: ProcessId, name: BrakeSignal): boolean {
  const handle = hold(id);
  if (!handle) return false;
  try {
    return signal(handle, name);
  } finally {
    release(handle);
  }
}

function signalError(id: ProcessId, name: BrakeSignal, error: unknown): ObserverError {
  if (!failedWith(error, "EPERM"))
    return new ObserverError(
      "failed",
      `Cannot send ${name} to process ${id.pid}: ${messageOf(error)}`,
      { cause: error },
    );
  const uid = readUid(id.pid);
  return new ObserverError(
    "not_permitted",
    `Cannot send ${name} to process ${id.pid} of uid ${uid ?? "unknown"}: observer runs as uid ${process.geteuid?.()}`,
    { cause: error, detail: { pid: id.pid, uid } },
  );
}

/** Those that have ended, with all their threads; zombies count as ended. */
export function endedOf(handles: Handle[]): Handle[] {
  const readable = readableNow(handles.map(({ fd }) => fd));
  return handles.filter((_, index) => readable[index]);
}
