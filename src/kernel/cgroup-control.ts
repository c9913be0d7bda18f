// Makes, limits, freezes, kills and removes cgroups, in whichever hierarchies the host has.

import { closeSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import type { CgroupDirectories, FreezeMethod } from "../core/agent.ts";
import { messageOf, ObserverError } from "../core/errors.ts";
import { isCgroup } from "./cgroup.ts";
import { handMemoryDown, mayWrite } from "./cgroup-delegation.ts";
import { readLimit } from "./cgroup-memory.ts";
import { processesOf, removeOne, removeTree, treeOf } from "./cgroup-tree.ts";
import {
  codeOf,
  kernelFileError,
  readKernelTable,
  readKernelText,
  writeKernelFile,
} from "./kernel-file.ts";
import { openPidfd, signalPidfd } from "./pidfd.ts";

/** Where v2 begins to slow a cgroup down, so that there is time to act before its limit. */
const HIGH_SHARE = 0.9;
/** A process ends within milliseconds of SIGKILL, unless it waits in the kernel or frees gigabytes. */
const KILL_ATTEMPTS = 200;
const KILL_WAIT_MS = 10;
/** Open at once; the usual limit of a process is 1,024 descriptors. */
const PIDFDS_MAX = 256;
const SIGKILL = 9;

type Hierarchy = "unified" | "memory" | "freezer";

export interface CreatedCgroup {
  directories: CgroupDirectories;
  /** Hierarchies that the host has, but in which the cgroup could not be made, with the reason in words. */
  missing: { hierarchy: Hierarchy; reason: string }[];
}

// No dot and no separator, so that it can be no path and no file of a controller.
const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,199}$/;

/**
 * Makes the cgroup `path` (names with `/` between them) below the parents; its last part must be new. What cannot
 * be had stands in `missing`. Throws `ObserverError` when none could be made, with nothing left behind: `invalid`,
 * `conflict`, `unsupported`, `not_permitted`, `failed`.
 */
export function createCgroup(parents: CgroupDirectories, path: string): CreatedCgroup {
  const names = path.split("/");
  if (!names.every((name) => NAME.test(name)))
    throw new ObserverError("invalid", `${JSON.stringify(path)} cannot name a cgroup`);
  const made: string[] = [];
  const directories: Record<Hierarchy, string | null> = {
    unified: null,
    memory: null,
    freezer: null,
  };
  const missing: CreatedCgroup["missing"] = [];
  let cause: unknown;
  for (const hierarchy of ["memory", "freezer", "unified"] as const) {
    const parent = parents[hierarchy];
    // In v2 memory and unified are one directory.
    if (parent === null || (hierarchy === "memory" && parents.memoryVersion === 2)) continue;
    try {
      directories[hierarchy] = makeAll(parent, { names, made });
    } catch (error) {
      missing.push({ hierarchy, reason: messageOf(error) });
      cause = error;
      // A name that is taken is taken as a whole: the rest of it would be another's.
      if (isConflict(error)) break;
    }
  }
  if (isConflict(cause) || made.length === 0) {
    made.reverse().forEach(removeOne);
    throw cause ?? new ObserverError("unsupported", "This host shows no cgroup that can be used");
  }
  return withMemory({ directories, missing, parents });
}

const isConflict = (error: unknown): boolean =>
  error instanceof ObserverError && error.code === "conflict";

function makeAll(parent: string, { names, made }: { names: string[]; made: string[] }): string {
  if (!isCgroup(parent)) throw new ObserverError("unsupported", `${parent} is no cgroup`);
  let at = parent;
  const before = made.length;
  for (const [index, name] of names.entries()) {
    handMemoryDown(at);
    at = join(at, name);
    try {
      mkdirSync(at);
      made.push(at);
    } catch (error) {
      if (codeOf(error) === "EEXIST" && index < names.length - 1) continue;
      made.splice(before).reverse().forEach(removeOne);
      if (codeOf(error) === "EEXIST")
        throw new ObserverError("conflict", `The cgroup ${at} exists already`, { cause: error });
      throw kernelFileError(`Cannot make the cgroup ${at}`, error);
    }
  }
  return at;
}

/** Fills in where memory is counted on v2, which is seen only once the cgroup is there. */
function withMemory(made: {
  directories: Record<Hierarchy, string | null>;
  missing: CreatedCgroup["missing"];
  parents: CgroupDirectories;
}): CreatedCgroup {
  const { directories, missing, parents } = made;
  let { memory } = directories;
  if (parents.memoryVersion === 2 && directories.unified !== null) {
    const counts = readKernelText(join(directories.unified, "memory.current")) !== null;
    memory = counts ? directories.unified : null;
    const reason = `${parents.unified} does not hand the memory controller down`;
    if (!counts) missing.push({ hierarchy: "memory", reason });
  }
  const memoryVersion = memory === null ? null : parents.memoryVersion;
  return { directories: { ...directories, memory, memoryVersion }, missing };
}

/** Every directory once. */
function distinct({ unified, memory, freezer }: CgroupDirectories): string[] {
  return [...new Set([memory, freezer, unified].filter((directory) => directory !== null))];
}

/** The files to which a process writes `0` to enter the cgroup itself. */
export function entryFiles(directories: CgroupDirectories): string[] {
  return distinct(directories).map((directory) => join(directory, "cgroup.procs"));
}

/** Moves a process, without its children, into all hierarchies of the cgroup. Throws `ObserverError`. */
export function moveProcess(pid: number, directories: CgroupDirectories): void {
  for (const file of entryFiles(directories)) writeKernelFile(file, String(pid));
}

/**
 * Limits memory and swap together to `bytes`: what is over the limit is killed, not swapped. The limit that the kernel
 * holds then, which is cut to whole pages. Throws `ObserverError` `unsupported`, `not_permitted`, `failed`.
 */
export function limitMemory(directories: CgroupDirectories, bytes: number): number {
  const { memory, memoryVersion } = directories;
  if (memory === null || memoryVersion === null)
    throw new ObserverError("unsupported", "This cgroup has no memory controller");
  const limit = String(Math.floor(bytes));
  if (memoryVersion === 1) limitVersion1(memory, limit);
  else {
    writeIfThere(join(memory, "memory.high"), String(Math.floor(bytes * HIGH_SHARE)));
    writeIfThere(join(memory, "memory.swap.max"), "0");
    // Only the process that is too much dies, so that the others can tell of it.
    writeIfThere(join(memory, "memory.oom.group"), "0");
    writeKernelFile(join(memory, "memory.max"), limit);
  }
  const held = readLimit(memory, memoryVersion);
  if (held === null || held > bytes)
    throw new ObserverError("failed", `The kernel did not take the memory limit of ${memory}`);
  return held;
}

// Memory with swap may never be limited below memory alone, so the order depends on which way the limit moves.
function limitVersion1(directory: string, limit: string): void {
  const memory = join(directory, "memory.limit_in_bytes");
  const withSwap = join(directory, "memory.memsw.limit_in_bytes");
  try {
    writeKernelFile(memory, limit);
  } catch (error) {
    if (!(error instanceof ObserverError) || error.detail["errno"] !== "EINVAL") throw error;
    writeIfThere(withSwap, limit);
    writeKernelFile(memory, limit);
  }
  writeIfThere(withSwap, limit);
}

function writeIfThere(path: string, text: string): void {
  if (readKernelText(path) !== null) writeKernelFile(path, text);
}

/** Processes of the cgroup and of all below it; empty when it is gone. */
export function processesIn(directory: string): number[] {
  return [...new Set(treeOf(directory).flatMap(processesOf))];
}

/** Removes the cgroup in every hierarchy, with those below it. False when a process still lives in one of them. */
export async function removeCgroup(directories: CgroupDirectories): Promise<boolean> {
  const removed = await Promise.all(distinct(directories).map(removeTree));
  return removed.every(Boolean);
}

/** One write stops all processes of a cgroup and of those below it, another lets them go on. */
export interface FreezeFile {
  path: string;
  frozen: Uint8Array;
  thawed: Uint8Array;
  method: Exclude<FreezeMethod, "SIGSTOP">;
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/**
 * Null when no hierarchy can: the root cannot be frozen, the file must be ours to write, and observer itself must not
 * live in the cgroup.
 */
export function freezeFile({ unified, freezer }: CgroupDirectories): FreezeFile | null {
  const version2 = unified && join(unified, "cgroup.freeze");
  if (version2 !== null && mayWrite(version2) && !holdsUs(dirname(version2)))
    return {
      path: version2,
      frozen: bytesOf("1"),
      thawed: bytesOf("0"),
      method: "cgroup.freeze",
    };
  const version1 = freezer && join(freezer, "freezer.state");
  if (version1 !== null && mayWrite(version1) && !holdsUs(dirname(version1)))
    return {
      path: version1,
      frozen: bytesOf("FROZEN"),
      thawed: bytesOf("THAWED"),
      method: "freezer",
    };
  return null;
}

const holdsUs = (directory: string): boolean => processesIn(directory).includes(process.pid);

/**
 * Whether every process of the cgroup stands still now, be it by a cgroup above it; false while the last ones are
 * still being stopped; null when the cgroup is gone.
 */
export function isFrozen({ path, method }: Pick<FreezeFile, "path" | "method">): boolean | null {
  if (method === "freezer") {
    const state = readKernelText(path)?.trim();
    return state === undefined ? null : state === "FROZEN";
  }
  const frozen = readKernelTable(join(dirname(path), "cgroup.events"))?.get("frozen");
  return frozen === undefined ? null : frozen === 1;
}

export interface CgroupKill {
  /** Every process that was seen in the cgroup. */
  pids: number[];
  /** Still there after the last attempt: unkillable for now, or not ours. */
  survivors: number[];
}

/**
 * Sends SIGKILL to all processes of the cgroup and of those below it, again until none is left or about two seconds
 * have passed. The first signals are out before it returns. A frozen v2 cgroup dies frozen; one of the v1 freezer is
 * let go on for it, and where memory and freezer are different directories that is the caller's to do.
 * Throws `ObserverError` `conflict` when observer itself lives in it.
 */
export async function killAll(directory: string): Promise<CgroupKill> {
  if (holdsUs(directory))
    throw new ObserverError("conflict", `observer itself lives in the cgroup ${directory}`);
  const seen = new Set<number>();
  for (let attempt = 0; attempt < KILL_ATTEMPTS; attempt++) {
    const living = processesIn(directory);
    if (living.length === 0) return { pids: [...seen], survivors: [] };
    for (const pid of living) seen.add(pid);
    killOnce(directory, living);
    await Bun.sleep(KILL_WAIT_MS);
  }
  return { pids: [...seen], survivors: processesIn(directory) };
}

function killOnce(directory: string, living: number[]): void {
  if (tryWrite(join(directory, "cgroup.kill"), "1")) return;
  // Frozen, a tree that forks cannot outrun the signals.
  const freezer = join(directory, "freezer.state");
  const isFreezer = tryWrite(freezer, "FROZEN");
  const inside = isFreezer ? processesIn(directory) : living;
  for (let at = 0; at < inside.length; at += PIDFDS_MAX)
    killMembers(inside.slice(at, at + PIDFDS_MAX), directory);
  if (isFreezer) tryWrite(freezer, "THAWED");
}

// A number may be another process's by now. A pidfd is of one process for good: what is in the cgroup after it was
// opened is what it is of.
function killMembers(pids: number[], directory: string): void {
  const opened = pids.map((pid) => ({ pid, fd: pidfdOf(pid) }));
  const members = new Set(processesIn(directory));
  for (const { pid, fd } of opened) {
    try {
      if (members.has(pid)) {
        if (fd === null) process.kill(pid, "SIGKILL");
        else signalPidfd(fd, SIGKILL);
      }
    } catch {
      // It ended, or is not ours: what is left is reported.
    }
    if (fd !== null) closeSync(fd);
  }
}

/** Null when it ended, and before Linux 5.3. */
function pidfdOf(pid: number): number | null {
  try {
    return openPidfd(pid);
  } catch {
    return null;
  }
}

/** False when the file is not there or is not ours. */
function tryWrite(path: string, text: string): boolean {
  try {
    writeKernelFile(path, text);
    return true;
  } catch {
    return false;
  }
}
