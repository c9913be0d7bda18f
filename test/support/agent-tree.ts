// Real agents for tests of the brakes: a shell with descendants, in a cgroup of its own where one can be had.

import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { type Agent, agentId, type CgroupDirectories } from "../../src/core/agent.ts";
import {
  createCgroup,
  freezeFile,
  isFrozen,
  killAll,
  moveProcess,
  removeCgroup,
} from "../../src/kernel/cgroup-control.ts";
import { findCgroupMounts, NO_CGROUPS } from "../../src/kernel/cgroup.ts";
import { listPids, readEnvironment, readStat } from "../../src/kernel/procfs.ts";

const MARK = "OBSERVER_TEST_MARK";
const PARENT = `observer-test-${process.pid}`;

export type CgroupKind = "unified" | "freezer";

export interface AgentTree extends AsyncDisposable {
  agent: Agent;
  /** Live processes that descend from it, by a mark in their environment that survives every fork. */
  pids(): number[];
  /** CPU time of all of them together. */
  cpuTicks(): number;
  /** Whether the kernel holds it still. */
  isStopped(): boolean;
  /** Own cgroup, where it has one. */
  directory: string | null;
}

/** Why no cgroup of this kind can be made here; null when one can. Printed once by those who skip for it. */
export function whyNoCgroup(kind: CgroupKind): string | null {
  const mount = findCgroupMounts()[kind];
  if (!mount) return `no ${kind} cgroup hierarchy is mounted`;
  try {
    accessSync(join(mount.mountPoint, "cgroup.procs"), constants.W_OK);
    accessSync(mount.mountPoint, constants.W_OK);
    return null;
  } catch {
    return `making a ${kind} cgroup needs root`;
  }
}

export function hasCgroup(kind: CgroupKind): boolean {
  const why = whyNoCgroup(kind);
  if (why !== null) console.log(`skipped: ${why}`);
  return why === null;
}

/** Descendants of every awkward kind, and one that uses the processor. */
export const AWKWARD_TREE = `
  sleep 1001 &
  setsid sleep 1002 &
  sh -c 'trap "" TERM; while :; do sleep 0.2; done' &
  ( sleep 1003 & )
  sh -c 'while :; do :; done' &
  wait
`;
/** How many processes it has, the shell included; `sleep 0.2`, which tells that TERM is ignored, comes and goes. */
export const AWKWARD_PROCESSES = 6;

/** Starts `script` in a shell that leads a session. */
export async function startTree(script: string, kind?: CgroupKind): Promise<AgentTree> {
  const mark = crypto.randomUUID();
  const runId = mark.slice(0, 13);
  const child = Bun.spawn(["sh", "-c", `read _; ${script}`], {
    env: { PATH: "/usr/bin:/bin:/usr/sbin:/sbin", [MARK]: mark },
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
    detached: true,
  });
  const directories = kind ? makeCgroup(kind, runId) : NO_CGROUPS;
  if (kind) moveProcess(child.pid, directories);
  await child.stdin.write("\n");
  await child.stdin.end();
  const startTicks = readStat(child.pid)?.startTicks ?? 0;
  const pids = (): number[] => marked(mark);
  return {
    agent: agentOf({ pid: child.pid, startTicks, directories, runId: kind ? runId : null }),
    directory: kind ? directories[kind] : null,
    pids,
    isStopped() {
      const file = freezeFile(directories);
      return file ? isFrozen(file) === true : readStat(child.pid)?.state === "T";
    },
    cpuTicks: () =>
      pids().reduce((sum, pid) => {
        const stat = readStat(pid);
        return sum + (stat?.utimeTicks ?? 0) + (stat?.stimeTicks ?? 0);
      }, 0),
    async [Symbol.asyncDispose]() {
      const directory = kind ? directories[kind] : null;
      if (directory !== null) await killAll(directory);
      child.kill("SIGKILL");
      await child.exited;
      while (pids().length > 0) {
        for (const pid of pids()) killQuietly(pid);
        await Bun.sleep(5);
      }
      if (kind) await removeCgroup(directories);
      if (kind) await removeCgroup(parentOf(kind));
    },
  };
}

function parentOf(kind: CgroupKind): CgroupDirectories {
  const mountPoint = findCgroupMounts()[kind]?.mountPoint ?? "";
  return { ...NO_CGROUPS, [kind]: join(mountPoint, PARENT) };
}

function makeCgroup(kind: CgroupKind, runId: string): CgroupDirectories {
  const mountPoint = findCgroupMounts()[kind]?.mountPoint ?? null;
  return createCgroup({ ...NO_CGROUPS, [kind]: mountPoint }, `${PARENT}/run-${runId}`).directories;
}

function marked(mark: string): number[] {
  return listPids().filter((pid) => {
    const stat = readStat(pid);
    return stat?.state !== "Z" && readEnvironment(pid)?.get(MARK) === mark;
  });
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended.
  }
}

function agentOf(facts: {
  pid: number;
  startTicks: number;
  directories: CgroupDirectories;
  runId: string | null;
}): Agent {
  const { pid, startTicks, directories, runId } = facts;
  return {
    id: agentId({ pid, startTicks }),
    pid,
    startTicks,
    kind: "test",
    startedMs: 0,
    uid: process.getuid?.() ?? 0,
    cwd: null,
    command: "sh",
    sessionId: null,
    workspace: null,
    runId,
    cgroups: directories,
    ownCgroup: runId !== null,
  };
}
