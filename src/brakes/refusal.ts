// Who must never be stopped or killed, whatever is asked for: the machine's own processes, observer, and its guardian.

import { dirname } from "node:path";
import type { ProcessId } from "../core/agent.ts";
import { processesIn } from "../kernel/cgroup-control.ts";
import { readStat } from "../kernel/procfs.ts";
import type { ProcessStat } from "../kernel/structs/proc-stat.ts";
import { isSame, type Target } from "./target.ts";
import { lookAtTree, startTree } from "./tree.ts";

export interface Protectors {
  /** Observer's own pid. */
  self: number;
  guardian: ProcessId | null;
}

/** Why none of these may be braked as one tree; null when all may. Pure: `processes` is one look at all there are. */
export function whyProtected(
  pids: Iterable<number>,
  processes: readonly ProcessStat[],
  { self, guardian }: Protectors,
): string | null {
  const byPid = new Map(processes.map((stat) => [stat.pid, stat]));
  const ancestors = ancestorsOf(self, byPid);
  for (const pid of pids) {
    if (pid === 1) return "process 1 is the machine's init";
    if (pid === self) return "observer itself is in it";
    if (ancestors.has(pid)) return `observer descends from process ${pid}`;
    if (pid === guardian?.pid) return "observer's guardian is in it";
    if (isKernelThread(pid, byPid)) return `process ${pid} is a kernel thread`;
  }
  return null;
}

function ancestorsOf(pid: number, byPid: Map<number, ProcessStat>): Set<number> {
  const all = new Set<number>();
  for (let at = byPid.get(pid)?.ppid ?? 0; at > 0 && !all.has(at); at = byPid.get(at)?.ppid ?? 0)
    all.add(at);
  return all;
}

// kthreadd is process 2 and the parent of the others. In a container process 2 may be anything.
function isKernelThread(pid: number, byPid: Map<number, ProcessStat>): boolean {
  const stat = byPid.get(pid);
  const top = stat?.pid === 2 ? stat : stat?.ppid === 2 ? byPid.get(2) : undefined;
  return top?.ppid === 0 && top.comm === "kthreadd";
}

/** The same of what a target would stop, looked up now. */
export function whyNotBrake(target: Target, guardian: ProcessId | null): string | null {
  const tree = target.path === null ? lookAtTree(startTree(target.root)) : [];
  const pids =
    target.path === null ? tree.map(({ pid }) => pid) : processesIn(dirname(target.path));
  return whyProtected(pids, [...tree, ...lineage()], { self: process.pid, guardian });
}

/** Observer, its ancestors, and process 2: all that `whyProtected` has to know of others. */
export function lineage(): ProcessStat[] {
  const all: ProcessStat[] = [];
  const seen = new Set<number>();
  for (let pid = process.pid; pid > 0 && !seen.has(pid);) {
    seen.add(pid);
    const stat = readStat(pid);
    if (!stat) break;
    all.push(stat);
    pid = stat.ppid;
  }
  const two = readStat(2);
  return two ? [...all, two] : all;
}

/** This very process, and not as a zombie. */
export function isAlive(id: ProcessId): boolean {
  const stat = readStat(id.pid);
  return stat !== null && isSame(stat, id) && stat.state !== "Z" && stat.state !== "X";
}

/**
 * Whether a shell with job control waits for it on a terminal: such a shell takes a stopped agent for one that its user
 * suspended, and leaves it in the background when it goes on. The sign is a parent in the same session and on the same
 * terminal, but in another process group. (So is `observer run`, which does not care.)
 */
export function hasJobControlShell({ pid }: ProcessId): boolean {
  const agent = readStat(pid);
  const parent = agent && readStat(agent.ppid);
  if (!agent || !parent || agent.tty === 0) return false;
  return parent.session === agent.session && parent.tty === agent.tty && parent.pgrp !== agent.pgrp;
}
