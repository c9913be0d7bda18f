// Which processes work in a directory, and how they are stopped for the moment of a restore.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** A process, named so that a later one with its number is not taken for it. */
export interface Occupant {
  pid: number;
  /** Ticks after boot; field 22 of /proc/PID/stat. */
  startTime: string;
  command: string;
}

// Fields of /proc/PID/stat after the command, which ends at the last ")": state, ppid, … starttime is the 20th of them.
const PPID = 1;
const START_TIME = 19;

interface ProcessStat {
  command: string;
  ppid: number;
  startTime: string;
}

function statOf(pid: number): ProcessStat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    const end = text.lastIndexOf(")");
    const fields = text.slice(end + 2).split(" ");
    return {
      command: text.slice(text.indexOf("(") + 1, end),
      ppid: Number(fields[PPID]),
      startTime: fields[START_TIME] ?? "",
    };
  } catch {
    // It ended.
    return undefined;
  }
}

/** Ticks after boot at which the process started; undefined when it is gone. */
export function startTimeOf(pid: number): string | undefined {
  return statOf(pid)?.startTime;
}

/** Live processes whose working directory is `directory` or below it, except this one and its ancestors. */
export function occupantsOf(directory: string): Occupant[] {
  const own = ancestors(process.pid);
  const found: Occupant[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || own.has(Number(name))) continue;
    const cwd = workingDirectory(name);
    if (cwd !== directory && !cwd?.startsWith(`${directory}/`)) continue;
    const stat = statOf(Number(name));
    if (stat) found.push({ pid: Number(name), startTime: stat.startTime, command: stat.command });
  }
  return found;
}

function workingDirectory(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    // Ended, a zombie, or another user's: none of them can be told apart from here.
    return undefined;
  }
}

function ancestors(pid: number): Set<number> {
  const all = new Set<number>();
  for (let at = pid; at > 0 && !all.has(at); at = statOf(at)?.ppid ?? 0) all.add(at);
  return all;
}

/** Sends a signal to those that are still the same process. */
export function signalOccupants(occupants: Occupant[], signal: "SIGSTOP" | "SIGCONT"): void {
  for (const { pid, startTime } of occupants) {
    if (startTimeOf(pid) !== startTime) continue;
    try {
      process.kill(pid, signal);
    } catch {
      // It ended between the look and the signal.
    }
  }
}
