// Memory of a cgroup: use, limits, kills, and the kernel's own signals of both. Version 1 and 2 of the controller.

import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { messageOf, ObserverError } from "../core/errors.ts";
import { ancestorsOf } from "./cgroup.ts";
import { createEventfd } from "./eventfd.ts";
import {
  kernelFileError,
  openToWrite,
  parseKernelTable,
  readKernelNumber,
  readKernelTable,
  readKernelText,
} from "./kernel-file.ts";

export type CgroupVersion = 1 | 2;

export interface CgroupMemory {
  /** All that is charged, page cache too. */
  usageBytes: number;
  /** Without page cache that can be dropped at once: what remains when memory gets short. The rule of the kubelet. */
  workingSetBytes: number;
  /** This cgroup's own limit, without those above it. */
  limitBytes: number | null;
  /** Highest `usageBytes` so far; null before Linux 5.19 on v2. */
  peakBytes: number | null;
}

/** v1 writes "no limit" as the highest multiple of the page size; the page size differs, so anything near counts. */
const NO_LIMIT_BYTES = 2 ** 62;

interface Files {
  usage: string;
  limit: string;
  peak: string;
  /** In memory.stat. On v1 only the `total_` fields count descendants, as the usage does. */
  inactiveFile: string;
}

const FILES: Record<CgroupVersion, Files> = {
  1: {
    usage: "memory.usage_in_bytes",
    limit: "memory.limit_in_bytes",
    peak: "memory.max_usage_in_bytes",
    inactiveFile: "total_inactive_file",
  },
  2: {
    usage: "memory.current",
    limit: "memory.max",
    peak: "memory.peak",
    inactiveFile: "inactive_file",
  },
};

/** `usageBytes` alone: one small read, for whoever asks every few milliseconds. Null when there is none. */
export function readUsage(directory: string, version: CgroupVersion): number | null {
  return readKernelNumber(join(directory, FILES[version].usage));
}

/** Null when the cgroup is gone, or is the root of v2, which counts nothing. */
export function readMemory(directory: string, version: CgroupVersion): CgroupMemory | null {
  const files = FILES[version];
  const usageBytes = readUsage(directory, version);
  if (usageBytes === null) return null;
  return {
    usageBytes,
    workingSetBytes: workingSet(directory, { version, usageBytes }),
    limitBytes: readLimit(directory, version),
    peakBytes: readKernelNumber(join(directory, files.peak)),
  };
}

function workingSet(
  directory: string,
  { version, usageBytes }: { version: CgroupVersion; usageBytes: number },
): number {
  const stat = readKernelTable(join(directory, "memory.stat"));
  // The two numbers are not of one instant.
  return Math.max(0, usageBytes - (stat?.get(FILES[version].inactiveFile) ?? 0));
}

/** The cgroup's own limit in bytes; null for none. */
export function readLimit(directory: string, version: CgroupVersion): number | null {
  // v2 says `max` for none, which is no number.
  const bytes = readKernelNumber(join(directory, FILES[version].limit));
  return bytes === null || bytes >= NO_LIMIT_BYTES ? null : bytes;
}

/** Where v2 begins to slow the cgroup down (memory.high), in bytes; null for nowhere, and on v1. */
export function readHigh(directory: string): number | null {
  return readKernelNumber(join(directory, "memory.high"));
}

/** A limit, and what counts against it: the use of that cgroup with all below it, which may be more than ours. */
export interface MemoryLimit {
  directory: string;
  limitBytes: number;
  usageBytes: number;
  workingSetBytes: number;
}

/** Of the limits of the cgroup and of those above it, the one with the least room left; null when there is none. */
export function tightestLimit(directory: string, version: CgroupVersion): MemoryLimit | null {
  let tightest: MemoryLimit | null = null;
  for (const at of limitingOf(directory, version)) {
    const limitBytes = readLimit(at, version);
    const usageBytes = limitBytes === null ? null : readUsage(at, version);
    if (limitBytes === null || usageBytes === null) continue;
    const workingSetBytes = workingSet(at, { version, usageBytes });
    const room = limitBytes - workingSetBytes;
    if (!tightest || room < tightest.limitBytes - tightest.workingSetBytes)
      tightest = { directory: at, limitBytes, usageBytes, workingSetBytes };
  }
  return tightest;
}

// Before Linux 5.11 a v1 cgroup counted its children only where use_hierarchy said so.
function limitingOf(directory: string, version: CgroupVersion): string[] {
  const ancestors = ancestorsOf(directory);
  if (version === 2) return ancestors;
  const flat = ancestors.findIndex(
    (at, index) => index > 0 && readKernelNumber(join(at, "memory.use_hierarchy")) === 0,
  );
  return flat < 0 ? ancestors : ancestors.slice(0, flat);
}

export interface OomCounters {
  /** Processes of this very cgroup that the kernel killed for want of memory. */
  kills: number;
  /** Kills of a whole cgroup at once (memory.oom.group); each of its processes counts in `kills` too. v2 only. */
  groupKills: number;
  /** Times that the limit was reached and nothing could be freed. v2 only. */
  limitReached: number;
  /** v1: its processes wait for memory at this instant. */
  underOom: boolean;
}

/** Null when the cgroup is gone, or the kernel is older than Linux 4.13 and counts no kills. */
export function readOomCounters(directory: string, version: CgroupVersion): OomCounters | null {
  const text =
    version === 1
      ? readKernelText(join(directory, "memory.oom_control"))
      : (readKernelText(join(directory, "memory.events.local")) ??
        readKernelText(join(directory, "memory.events")));
  const table = parseKernelTable(text ?? "");
  const kills = table.get("oom_kill");
  if (kills === undefined) return null;
  return {
    kills,
    groupKills: table.get("oom_group_kill") ?? 0,
    limitReached: table.get("oom") ?? 0,
    underOom: table.get("under_oom") === 1,
  };
}

/** `kills` of the counters. On kernels before 5.2 the number of v2 includes descendants. */
export function readOomKills(directory: string, version: CgroupVersion): number | null {
  return readOomCounters(directory, version)?.kills ?? null;
}

/** `kills` of the cgroup and all below it: one file on v2. Null on v1, which keeps no such number, and as above. */
export function readOomKillsBelow(directory: string, version: CgroupVersion): number | null {
  if (version === 1) return null;
  return readKernelTable(join(directory, "memory.events"))?.get("oom_kill") ?? null;
}

export type OomNotifier =
  /** Readable when the cgroup, or one above it, is out of memory, often before the counter rises; also when it is removed. */
  | { kind: "eventfd"; fd: number }
  /** To be watched for IN_MODIFY: several wakes for one kill. Nothing tells that the cgroup was removed. */
  | { kind: "inotify"; path: string };

/**
 * How the kernel tells of OOM in this cgroup. Closing the eventfd ends the registration. Throws `ObserverError`
 * `not_permitted`, `unsupported`, `vanished`, `failed`.
 */
export function oomNotifier(directory: string, version: CgroupVersion): OomNotifier {
  if (version === 1) return { kind: "eventfd", fd: register(directory, "memory.oom_control") };
  const path = join(directory, "memory.events");
  try {
    closeSync(openSync(path, "r"));
  } catch (error) {
    throw kernelFileError(`Cannot watch ${path}`, error);
  }
  return { kind: "inotify", path };
}

/**
 * An eventfd that becomes readable each time that the use of a v1 cgroup, with page cache, goes over or under this
 * many bytes, and when the cgroup is removed. Closing it ends that. Throws as `oomNotifier`.
 */
export function usageThreshold(directory: string, bytes: number): number {
  return register(directory, `${FILES[1].usage} ${Math.floor(bytes)}`);
}

/** `watched` is a file of the cgroup, with an argument after a space where the event takes one. */
function register(directory: string, watched: string): number {
  const [file = "", argument] = watched.split(" ");
  const eventfd = newEventfd();
  const opened: number[] = [];
  try {
    const watchedFd = openSync(join(directory, file), "r");
    opened.push(watchedFd);
    const control = openToWrite(join(directory, "cgroup.event_control"));
    opened.push(control);
    const words = [eventfd, watchedFd, ...(argument === undefined ? [] : [argument])];
    writeSync(control, words.join(" "));
    return eventfd;
  } catch (error) {
    closeSync(eventfd);
    throw kernelFileError(`Cannot be told of ${file} of ${directory}`, error);
  } finally {
    // The kernel needs both for the registration only.
    opened.forEach((fd) => closeSync(fd));
  }
}

function newEventfd(): number {
  try {
    return createEventfd();
  } catch (error) {
    throw new ObserverError("unsupported", `Cannot make an eventfd: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
