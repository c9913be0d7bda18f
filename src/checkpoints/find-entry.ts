// Finds one path in a tree.

import type { BytePath } from "./byte-path.ts";
import type { Directory, Entry, TreeReader } from "./tree.ts";

/** What the tree has at `path` (not the top itself), also where its rules leave it out; undefined where nothing is. */
export function findEntry(tree: TreeReader, path: BytePath): Entry | undefined {
  return within(tree.root(), path.split("/"));
}

function within(directory: Directory, [name, ...rest]: string[]): Entry | undefined {
  try {
    const entry = directory.entries.find((it) => it.name === name);
    if (!entry || rest.length === 0) return entry;
    const inner = entry.type === "directory" ? directory.enter(entry) : undefined;
    return inner && within(inner, rest);
  } finally {
    directory.close();
  }
}
