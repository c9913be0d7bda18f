// Walks a cgroup and those below it: which exist, what lives in them, and their removal.

import { readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { codeOf, readKernelText } from "./kernel-file.ts";

/** A cgroup whose last process was just reaped stays busy for an instant. */
const REMOVE_ATTEMPTS = 20;
const REMOVE_WAIT_MS = 10;

/** Names of the cgroups directly below; none when it is gone. */
export function childrenIn(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

/** The cgroup and all below it, each after its children. */
export function treeOf(directory: string): string[] {
  const below = childrenIn(directory).flatMap((name) => treeOf(join(directory, name)));
  return [...below, directory];
}

/** Processes directly in the cgroup, without those that our pid namespace does not show; none when it is gone. */
export function processesOf(directory: string): number[] {
  const text = readKernelText(join(directory, "cgroup.procs")) ?? "";
  // The kernel shows 0 for a process of another pid namespace.
  const pids = text.split("\n").map(Number);
  return pids.filter((pid) => pid > 0);
}

/** Removes the cgroup with all below it; false when a process still lives in one of them. */
export async function removeTree(directory: string): Promise<boolean> {
  for (let attempt = 0; attempt < REMOVE_ATTEMPTS; attempt++) {
    if (attempt > 0) await Bun.sleep(REMOVE_WAIT_MS);
    if (treeOf(directory).every(removeOne)) return true;
  }
  return false;
}

/** False when it is in use; one that is gone already counts as removed. */
export function removeOne(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    return codeOf(error) === "ENOENT";
  }
}
