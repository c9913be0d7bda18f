// Holds CMD together: a cgroup of its own, else a scope of systemd, else only its process group.

import { statSync } from "node:fs";
import type { CgroupDirectories } from "../../../core/agent.ts";
import { messageOf } from "../../../core/errors.ts";
import type { Containment } from "../../../core/run.ts";
import { cgroupsOf, findCgroupMounts } from "../../../kernel/cgroup.ts";
import { createCgroup, limitMemory, moveProcess } from "../../../kernel/cgroup-control.ts";
import { parentsForRuns } from "../../../kernel/cgroup-delegation.ts";
import { readOomKills } from "../../../kernel/cgroup-memory.ts";
import { eachDirectory, removeRunCgroup } from "../../../kernel/run-cgroup.ts";
import type { OomKills } from "./events.ts";
import { scopePrefix, type ScopeHost } from "./scope.ts";

export interface ContainmentRequest {
  runId: string;
  /** Name of the cgroup that holds those of all runs. */
  parentName: string;
  /** Null for no limit. */
  memoryLimitBytes: number | null;
}

type Spawn<Child> = (cgroup: string | undefined) => Child;

interface Started<Child> {
  child: Child;
  problem: string | null;
}

/** How CMD will be held. */
export interface Contained {
  kind: Containment;
  /** Set and read back; null for none. */
  memoryLimitBytes: number | null;
  /** Cgroups that were made for it; null for none. */
  cgroups: CgroupDirectories | null;
  /** Why it is not the better kind; empty for the best. */
  reason: string;
  /** Stands in front of CMD. */
  prefix: string[];
  /**
   * Calls `spawn` so that the child is in its cgroups before its first instruction. Where that fails it is started
   * outside of them, and `problem` says so. Throws what `spawn` throws without a cgroup.
   */
  start<Child>(spawn: Spawn<Child>): Started<Child>;
  /** What the kernel killed in it for want of memory; null for nothing, or where nothing was counted for it alone. */
  oomKills(): OomKills | null;
  /** Removes what was made; false when something still lives in it. */
  release(): Promise<boolean>;
}

/** Never throws: CMD is started in any case. */
export async function contain(request: ContainmentRequest, host: ScopeHost): Promise<Contained> {
  let own = tryCgroup(request);
  // A run that ended at this moment may have removed the parent under us.
  if ("refused" in own) own = tryCgroup(request);
  if (!("refused" in own) && limitHolds(own, request)) return own;
  const scope = await scopePrefix(request, host);
  if ("prefix" in scope) {
    if (!("refused" in own)) await own.release();
    return bare("scope", { ...scope, memoryLimitBytes: request.memoryLimitBytes, reason: "" });
  }
  if (!("refused" in own)) return own;
  return bare("group", {
    prefix: [],
    memoryLimitBytes: null,
    reason: `${own.refused}; ${scope.refused}`,
  });
}

function limitHolds(made: Contained, { memoryLimitBytes }: ContainmentRequest): boolean {
  return memoryLimitBytes === null || made.memoryLimitBytes !== null;
}

function bare(
  kind: Containment,
  given: Pick<Contained, "prefix" | "memoryLimitBytes" | "reason">,
): Contained {
  return {
    kind,
    ...given,
    cgroups: null,
    start: (spawn) => ({ child: spawn(undefined), problem: null }),
    oomKills: () => null,
    release: () => Promise.resolve(true),
  };
}

function tryCgroup(request: ContainmentRequest): Contained | { refused: string } {
  const mounts = findCgroupMounts();
  const before = cgroupsOf(process.pid, mounts);
  let directories: CgroupDirectories;
  let missing: string[];
  try {
    const path = `${request.parentName}/run-${request.runId}`;
    const made = createCgroup(parentsForRuns(mounts, before), path);
    ({ directories } = made);
    missing = made.missing.map(({ hierarchy, reason }) => `${hierarchy}: ${reason}`);
  } catch (thrown) {
    return { refused: messageOf(thrown) };
  }
  let limit: number | null = null;
  if (request.memoryLimitBytes !== null) {
    try {
      limit = limitMemory(directories, request.memoryLimitBytes);
    } catch (thrown) {
      missing.push(messageOf(thrown));
    }
  }
  return {
    kind: "cgroup",
    memoryLimitBytes: limit,
    cgroups: directories,
    reason: missing.join("; "),
    prefix: [],
    start: (spawn) => startWithin(directories, before, spawn),
    oomKills: () => oomKillsIn(directories, limit),
    release: () => removeRunCgroup(directories),
  };
}

function oomKillsIn(directories: CgroupDirectories, limitBytes: number | null): OomKills | null {
  const { memory, memoryVersion } = directories;
  if (memory === null || memoryVersion === null) return null;
  const count = readOomKills(memory, memoryVersion) ?? 0;
  const inode = statSync(memory, { throwIfNoEntry: false })?.ino;
  if (count === 0 || inode === undefined) return null;
  const source = memoryVersion === 1 ? "memory.oom_control" : "memory.events";
  return { count, cgroup: memory, inode, source, limitBytes };
}

/**
 * The child joins one cgroup by itself, that of memory where there is one; into the others this process goes for
 * the moment of the fork, because a child is born where its parent is.
 */
function startWithin<Child>(
  directories: CgroupDirectories,
  before: CgroupDirectories,
  spawn: Spawn<Child>,
): Started<Child> {
  const [joined, ...others] = eachDirectory(directories);
  const within = only(directories, directories, others);
  const back = only(before, directories, others);
  const visits = others.length > 0;
  let problem: string | null = null;
  try {
    if (visits) moveProcess(process.pid, within);
  } catch (thrown) {
    problem = messageOf(thrown);
  }
  try {
    return { child: spawn(joined), problem };
  } catch (thrown) {
    // What has nothing to do with the cgroup fails again, and is told then.
    return { child: spawn(undefined), problem: messageOf(thrown) };
  } finally {
    if (visits) leave(back);
  }
}

/** The directories of `from` in those hierarchies whose directory in `made` is one of `wanted`. */
function only(
  from: CgroupDirectories,
  made: CgroupDirectories,
  wanted: readonly string[],
): CgroupDirectories {
  const pick = (hierarchy: "memory" | "freezer" | "unified"): string | null =>
    made[hierarchy] !== null && wanted.includes(made[hierarchy]) ? from[hierarchy] : null;
  const memory = pick("memory");
  return { memory, memoryVersion: null, freezer: pick("freezer"), unified: pick("unified") };
}

/** One by one: where it cannot go back in one hierarchy it still does in the others. */
function leave(back: CgroupDirectories): void {
  const none = { memory: null, memoryVersion: null, freezer: null, unified: null };
  for (const hierarchy of ["memory", "freezer", "unified"] as const) {
    try {
      moveProcess(process.pid, { ...none, [hierarchy]: back[hierarchy] });
    } catch {
      // It stays beside CMD: no harm but that it stops when CMD is frozen.
    }
  }
}
