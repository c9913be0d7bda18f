// Finds and removes the cgroups of runs that have ended.

import { statSync } from "node:fs";
import { join } from "node:path";
import type { CgroupMounts } from "./cgroup.ts";
import { processesIn } from "./cgroup-control.ts";
import { childrenIn, removeOne, removeTree } from "./cgroup-tree.ts";

/** Deeper than containers of containers lie; hierarchies of a few hundred cgroups take milliseconds. */
const DEPTH_MAX = 12;

export interface SweepOptions {
  nowMs: number;
  /** Younger ones may be about to be entered. */
  minAgeMs: number;
  /** Says of a child's name that it stays whatever its state. */
  keep?: (name: string) => boolean;
}

/**
 * Removes the cgroups directly below `parent` in which no process lives, and `parent` itself when nothing is left.
 * Names of those removed.
 */
export async function sweep(parent: string, options: SweepOptions): Promise<string[]> {
  const removed: string[] = [];
  for (const name of childrenIn(parent)) {
    const directory = join(parent, name);
    if (options.keep?.(name) || !isStale(directory, options)) continue;
    if (await removeTree(directory)) removed.push(name);
  }
  if (childrenIn(parent).length === 0 && isStale(parent, options)) removeOne(parent);
  return removed;
}

function isStale(directory: string, { nowMs, minAgeMs }: SweepOptions): boolean {
  try {
    // Changes when a cgroup below is made or removed, so that a busy parent is young.
    const ageMs = nowMs - statSync(directory).mtimeMs;
    return ageMs >= minAgeMs && processesIn(directory).length === 0;
  } catch {
    return false;
  }
}

/** Cgroups of this name in all hierarchies that are mounted, wherever they lie. */
export function findCgroups(mounts: CgroupMounts, name: string): string[] {
  const roots = [mounts.unified, mounts.memory, mounts.freezer].flatMap((mount) =>
    mount ? [mount.mountPoint] : [],
  );
  return [...new Set(roots)].flatMap((root) => below(root, { name, depth: DEPTH_MAX }));
}

function below(directory: string, wanted: { name: string; depth: number }): string[] {
  if (wanted.depth === 0) return [];
  return childrenIn(directory).flatMap((child) => {
    const path = join(directory, child);
    return child === wanted.name ? [path] : below(path, { ...wanted, depth: wanted.depth - 1 });
  });
}
