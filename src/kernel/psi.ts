// Pressure stall information: how much of the time work waits for memory, and a wake when it waits too long.

import { closeSync, constants, openSync, readFileSync, writeSync } from "node:fs";
import { messageOf, ObserverError } from "../core/errors.ts";
import { failedWith } from "./libc.ts";

const O_CLOEXEC = 0x80000;

/** The host's memory. A cgroup v2 has the same file as `memory.pressure`. */
export const HOST_MEMORY_PRESSURE = "/proc/pressure/memory";

/** 150 ms of stall within 2 s. Shorter windows, and those that are no multiple of 2 s, need CAP_SYS_RESOURCE. */
const TRIGGER = "some 150000 2000000\0";

export interface Pressure {
  /** Per cent of the last 10 s in which something waited. */
  someAvg10: number;
  /** Per cent in which everything waited; 0 where the kernel does not say. */
  fullAvg10: number;
}

/** Null where the kernel has no pressure file at `path`, or has it switched off. */
export function readPressure(path: string): Pressure | null {
  try {
    return parsePressure(readFileSync(path, "latin1"));
  } catch {
    return null;
  }
}

/** The text of a pressure file. */
export function parsePressure(text: string): Pressure | null {
  const average = (line: string): number =>
    Number(new RegExp(`^${line} avg10=([0-9.]+)`, "m").exec(text)?.[1] ?? Number.NaN);
  const someAvg10 = average("some");
  if (Number.isNaN(someAvg10)) return null;
  return { someAvg10, fullAvg10: average("full") || 0 };
}

/**
 * Wakes with EPOLLPRI once in a window of 2 s in which work stalled for 150 ms. When the cgroup is removed it reports
 * EPOLLERR. Throws `ObserverError` `unavailable` with the reason.
 */
export function openPressureTrigger(path: string): number {
  let fd = -1;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK | O_CLOEXEC);
    writeSync(fd, TRIGGER);
    return fd;
  } catch (thrown) {
    if (fd >= 0) closeSync(fd);
    const detail = failedWith(thrown, "ENOENT", "EOPNOTSUPP") ? {} : { fix: null };
    throw new ObserverError("unavailable", `${path}: ${reasonOf(thrown)}`, {
      cause: thrown,
      detail,
    });
  }
}

function reasonOf(thrown: unknown): string {
  if (failedWith(thrown, "ENOENT", "EOPNOTSUPP")) {
    return "the kernel measures no pressure (needs CONFIG_PSI, and psi=1 where it is off by default)";
  }
  if (failedWith(thrown, "EACCES", "EPERM", "EROFS")) return "it may not be written by this user";
  if (failedWith(thrown, "EINVAL"))
    return "the kernel refuses the trigger without CAP_SYS_RESOURCE";
  return messageOf(thrown);
}
