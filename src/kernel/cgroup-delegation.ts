// Where new cgroups may be made, and whether they get memory there (cgroup v2's rule of no internal processes).

import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import type { CgroupDirectories } from "../core/agent.ts";
import { ancestorsOf, type CgroupMounts, childControllersOf, controllersOf } from "./cgroup.ts";
import { processesOf } from "./cgroup-tree.ts";
import { writeKernelFile } from "./kernel-file.ts";

/**
 * Where cgroups for what a process starts may be made: below its own, so that every limit that holds for it holds
 * for them. In v2 a cgroup with processes cannot hand memory down: there it is the nearest one above that can.
 */
export function parentsForRuns(mounts: CgroupMounts, own: CgroupDirectories): CgroupDirectories {
  const unified =
    mounts.memoryVersion === 2 && own.unified !== null
      ? (ancestorsOf(own.unified).find(canHandMemoryDown) ?? own.unified)
      : own.unified;
  const memory = mounts.memoryVersion === 2 ? unified : own.memory;
  return {
    unified,
    memory,
    memoryVersion: memory === null ? null : mounts.memoryVersion,
    freezer: own.freezer,
  };
}

function canHandMemoryDown(directory: string): boolean {
  if (!mayWrite(directory)) return false;
  if (childControllersOf(directory).includes("memory")) return true;
  return (
    controllersOf(directory).includes("memory") &&
    mayWrite(join(directory, "cgroup.subtree_control")) &&
    processesOf(directory).length === 0
  );
}

/** v2: gives the children of the directory the memory controller, where that is possible and not done yet. */
export function handMemoryDown(directory: string): void {
  if (!controllersOf(directory).includes("memory")) return;
  if (childControllersOf(directory).includes("memory")) return;
  try {
    writeKernelFile(join(directory, "cgroup.subtree_control"), "+memory");
  } catch {
    // It holds processes itself or is not ours: seen by the memory files that the children then lack.
  }
}

/** Also false on a read-only mount. */
export function mayWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
