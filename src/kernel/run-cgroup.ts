// Removing the cgroup of a run, and with the last one the cgroup that held them all.

import { rmdirSync } from "node:fs";
import { dirname } from "node:path";
import type { CgroupDirectories } from "../core/agent.ts";
import { removeCgroup } from "./cgroup-control.ts";

/** False when a process still lives in it. */
export async function removeRunCgroup(directories: CgroupDirectories): Promise<boolean> {
  const gone = await removeCgroup(directories);
  if (gone) eachDirectory(directories).map(dirname).forEach(removeIfEmpty);
  return gone;
}

/** Its directories, memory first, each once: in v2 memory and unified are one. */
export function eachDirectory({ memory, freezer, unified }: CgroupDirectories): string[] {
  return [...new Set([memory, freezer, unified].filter((directory) => directory !== null))];
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Another run is in it.
  }
}
