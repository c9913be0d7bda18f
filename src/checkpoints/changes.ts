// Turns differences into what users read: added, modified, deleted, renamed.

import type { Change } from "../core/checkpoint.ts";
import { shown } from "./byte-path.ts";
import type { CompareOptions, Difference } from "./diff.ts";
import type { Entry, TreeReader } from "./tree.ts";

/**
 * Directories whose only news is their time stamp are left out: that is the shadow of a change below them.
 * A deleted and an added file with the same inode or the same content are one rename.
 */
export function changesOf(
  differences: Difference[],
  trees: Pick<CompareOptions, "before" | "after">,
): Change[] {
  const told = differences.filter((difference) => !isShadow(difference));
  const renames = pairRenames(told, trees);
  return told.flatMap((difference) => {
    if (renames.sources.has(difference)) return [];
    return [changeOf(difference, renames.from.get(difference))];
  });
}

function isShadow({ before, after, what }: Difference): boolean {
  return (
    before?.type === "directory" &&
    after?.type === "directory" &&
    what.every((aspect) => aspect === "mtime")
  );
}

function changeOf({ path, before, after, what }: Difference, source?: Difference): Change {
  const old = source?.before ?? before;
  return {
    ...shown(path),
    ...(path === "" && { path: "." }),
    change: source ? "renamed" : !before ? "added" : !after ? "deleted" : "modified",
    type: (after ?? before)?.type ?? "other",
    ...(source && { from: shown(source.path).path }),
    ...(old && { size_before: sizeOf(old) }),
    ...(after && { size_after: sizeOf(after) }),
    ...(what.length > 0 && { what }),
  };
}

function sizeOf(entry: Entry): number {
  return entry.type === "symlink" ? (entry.target ?? "").length : entry.size;
}

interface Renames {
  /** The added file's difference to the deleted one's. */
  from: Map<Difference, Difference>;
  sources: Set<Difference>;
}

function pairRenames(
  differences: Difference[],
  trees: Pick<CompareOptions, "before" | "after">,
): Renames {
  const gone = new Map<number, Difference[]>();
  for (const difference of differences) {
    const { before, after } = difference;
    // Empty files are all alike: calling two of them one would be a guess.
    if (after || before?.type !== "file" || before.size === 0) continue;
    const same = gone.get(before.size) ?? [];
    same.push(difference);
    gone.set(before.size, same);
  }
  const renames: Renames = { from: new Map(), sources: new Set() };
  for (const difference of differences) {
    const { before, after } = difference;
    if (before || after?.type !== "file") continue;
    const source = (gone.get(after.size) ?? []).find(
      (candidate) => !renames.sources.has(candidate) && isSame(candidate, difference, trees),
    );
    if (!source) continue;
    renames.from.set(difference, source);
    renames.sources.add(source);
  }
  return renames;
}

function isSame(
  gone: Difference,
  come: Difference,
  trees: Pick<CompareOptions, "before" | "after">,
): boolean {
  if (!gone.before || !come.after) return false;
  const hash = hashOf(trees.before, gone.path, gone.before);
  return hash !== undefined && hash === hashOf(trees.after, come.path, come.after);
}

function hashOf(tree: TreeReader, path: string, entry: Entry): string | undefined {
  // Kept on the entry, so that each is hashed once however many candidates there are.
  try {
    return (entry.hash ??= tree.contentHash(path, entry));
  } catch {
    // Gone or unreadable by now: then it is shown as added and deleted.
    return undefined;
  }
}
