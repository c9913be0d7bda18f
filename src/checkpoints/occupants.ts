// Which processes work in a directory, and how they are stopped for the moment of a restore.

import type { ProcessId } from "../core/agent.ts";
import { listPids, readStat, workingDirectoryLink } from "../kernel/procfs.ts";

export interface Occupant extends ProcessId {
  command: string;
}

/** Clock ticks after boot at which the process started; null when it is gone. */
export function startTicksOf(pid: number): number | null {
  return readStat(pid)?.startTicks ?? null;
}

/** Live processes whose working directory is `directory` or below it, except this one and its ancestors. */
export function occupantsOf(directory: string): Occupant[] {
  const own = ancestors(process.pid);
  const found: Occupant[] = [];
  for (const pid of listPids()) {
    if (own.has(pid)) continue;
    // A removed directory below it counts too. Null: ended, a zombie, or another user's, which cannot be told apart.
    const cwd = workingDirectoryLink(pid);
    if (cwd !== directory && !cwd?.startsWith(`${directory}/`)) continue;
    const stat = readStat(pid);
    if (stat) found.push({ pid, startTicks: stat.startTicks, command: stat.comm });
  }
  return found;
}

function ancestors(pid: number): Set<number> {
  const all = new Set<number>();
  for (let at = pid; at > 0 && !all.has(at); at = readStat(at)?.ppid ?? 0) all.add(at);
  return all;
}

/** Sends a signal to those that are still the same process. */
export function signalOccupants(occupants: Occupant[], signal: "SIGSTOP" | "SIGCONT"): void {
  for (const { pid, startTicks } of occupants) {
    if (startTicksOf(pid) !== startTicks) continue;
    try {
      process.kill(pid, signal);
    } catch {
      // It ended between the look and the signal.
    }
  }
}
