// What the process source asks of the kernel, as one object: tests put their own in the place of single parts.

import { closeSync, readdirSync, readlinkSync } from "node:fs";
import type { CgroupDirectories, ProcessId } from "../../core/agent.ts";
import { bootId, bootTimeMs, ticksToMs } from "../../kernel/boot.ts";
import { cgroupsOf, findCgroupMounts } from "../../kernel/cgroup.ts";
import { monotonicMs } from "../../kernel/monotonic.ts";
import { processTree } from "../../kernel/process-tree.ts";
import { openPidfd, pidfdExit } from "../../kernel/pidfd.ts";
import * as procfs from "../../kernel/procfs.ts";
import { createScanner, type Scanner } from "../../kernel/scan.ts";

export interface Host {
  /** First 8 characters of the boot id: part of every natural key. */
  boot: string;
  /** Of observer itself. */
  pid: number;
  uid: number;
  scanner: Scanner;
  /** Milliseconds since the epoch at which a process of these ticks started. */
  startedMs(startTicks: number, nowMs: number): number;
  /** CLOCK_MONOTONIC in ms, as in the kernel's messages. */
  monotonicMs(): number;
  readStat: typeof procfs.readStat;
  readCommandLine(pid: number): string[] | null;
  readEnvironment: typeof procfs.readEnvironment;
  readUid: typeof procfs.readUid;
  namespacePid: typeof procfs.namespacePid;
  programPath: typeof procfs.programPath;
  workingDirectory: typeof procfs.workingDirectory;
  /** Whether its absolute paths mean what they mean here: same mounts, same root directory. */
  sharesPaths(pid: number): boolean;
  /** True when only its first thread is left, as of a zombie that really ended. */
  isLastThread(pid: number): boolean;
  cgroupsOf(pid: number): CgroupDirectories;
  /** The process and its live descendants, each after its parent. */
  treeOf: typeof processTree;
  openPidfd: typeof openPidfd;
  pidfdExit: typeof pidfdExit;
  close(fd: number): void;
}

export function createHost(): Host {
  const mounts = findCgroupMounts();
  return {
    boot: bootId().slice(0, 8),
    pid: process.pid,
    uid: process.geteuid?.() ?? -1,
    scanner: createScanner(),
    startedMs: (startTicks, nowMs) => Math.round(bootTimeMs(nowMs) + ticksToMs(startTicks)),
    monotonicMs,
    readStat: procfs.readStat,
    readCommandLine: (pid) => procfs.readCommandLine(pid),
    readEnvironment: procfs.readEnvironment,
    readUid: procfs.readUid,
    namespacePid: procfs.namespacePid,
    programPath: procfs.programPath,
    workingDirectory: procfs.workingDirectory,
    sharesPaths: (pid) => procfs.sameMountNamespace(pid) && rootOf(pid) === "/",
    isLastThread: (pid) => threadsOf(pid).length <= 1,
    cgroupsOf: (pid) => cgroupsOf(pid, mounts),
    treeOf: processTree,
    openPidfd,
    pidfdExit,
    close: closeSync,
  };
}

function rootOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/root`);
  } catch {
    return null;
  }
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/**
 * How far a process is gone. A leader that ended while its threads go on looks like a zombie, and is none; a number
 * that another process has now says that the first one is gone.
 */
export function stateOf(
  host: Host,
  { pid, startTicks }: ProcessId,
): { state: "alive" | "gone" } | { state: "zombie"; status: number | null } {
  const stat = host.readStat(pid);
  if (stat?.startTicks !== startTicks || stat.state === "X") return { state: "gone" };
  if (stat.state !== "Z" || !host.isLastThread(pid)) return { state: "alive" };
  return { state: "zombie", status: stat.exitStatus };
}
