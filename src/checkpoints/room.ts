// Whether the workspace's file system can take a restore: asked before anything is touched.

import { accessSync, constants, statfsSync } from "node:fs";
import { ObserverError } from "../core/errors.ts";
import { codeOf } from "./live-tree.ts";
import type { Plan } from "./plan.ts";
import type { Entry, TreeReader } from "./tree.ts";

/** A directory entry, an inode and the last block of a file take some too. */
const ENTRY_BYTES = 4_096;
/** ext4 keeps a fiftieth for itself, 16 MiB at most, that it counts as free to root. */
const KEPT_SHARE = 50;
const KEPT_BYTES_MAX = 16 * 1024 * 1024;

/**
 * The most bytes that the plan needs at one time beyond what is taken now. A file is written beside the one that it
 * takes the place of, which gives its space back only then; what is deleted goes last.
 */
export function bytesNeeded(plan: Pick<Plan, "steps" | "groups">, tree: TreeReader): number {
  let taken = 0;
  let most = 0;
  const joined = new Set<unknown>();
  for (const { path, before, after, what } of plan.steps) {
    const isAnew = after && (before?.type !== after.type || what.includes("content"));
    if (!isAnew) continue;
    const group = plan.groups.get(path);
    const isFirst = group === undefined || !joined.has(group);
    if (group) joined.add(group);
    taken += ENTRY_BYTES + (isFirst ? dataOf(tree, path, after) : 0);
    most = Math.max(most, taken);
    // Another name of the same file keeps its content.
    if (before?.type === "file" && before.live?.links === 1) taken -= before.size;
  }
  return most;
}

function dataOf(tree: TreeReader, path: string, after: Entry): number {
  if (after.type !== "file") return 0;
  return tree.holes(path, after).reduce((left, hole) => left - hole.length, after.size);
}

/** Throws `read_only`, or `no_space` unless forced: half a restore is worse than none. */
export function expectRoom(
  workspace: string,
  { needed, force }: { needed: number; force: boolean },
): void {
  try {
    accessSync(workspace, constants.W_OK);
  } catch (error) {
    // Everything else shows where it matters: root may write all the same, and an owner may change the bits.
    if (codeOf(error) === "EROFS")
      throw new ObserverError(
        "read_only",
        `Cannot restore ${workspace}: its file system is read-only`,
        { cause: error },
      );
  }
  const { bavail, bfree, blocks, bsize } = statfsSync(workspace);
  const kept = Math.min(Math.ceil((blocks * bsize) / KEPT_SHARE), KEPT_BYTES_MAX);
  const free = process.geteuid?.() === 0 ? Math.max(0, bfree * bsize - kept) : bavail * bsize;
  if (needed <= free || force) return;
  throw new ObserverError(
    "no_space",
    `Cannot restore ${workspace}: it needs ${needed} bytes and ${free} are free; nothing was changed`,
    {
      detail: {
        needed_bytes: needed,
        free_bytes: free,
        hint: "make room; force tries all the same",
      },
    },
  );
}
