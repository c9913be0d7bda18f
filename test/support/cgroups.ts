// Real cgroups for the time of a test file, and trees of plain files that look like them.

import { mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { CgroupDirectories } from "../../src/core/agent.ts";
import { findCgroupMounts, type CgroupMounts } from "../../src/kernel/cgroup.ts";
import {
  createCgroup,
  entryFiles,
  killAll,
  removeCgroup,
} from "../../src/kernel/cgroup-control.ts";
import { mayWrite } from "../../src/kernel/cgroup-delegation.ts";
import { processesOf, removeTree } from "../../src/kernel/cgroup-tree.ts";

export interface CgroupKit {
  mounts: CgroupMounts;
  /** Directly below the roots of the hierarchies. */
  parents: CgroupDirectories;
  /** A new cgroup in every hierarchy. */
  make(name: string): CgroupDirectories;
  /** Starts a program that is in the cgroup before its first instruction; it is ended with the kit. */
  spawn(directories: CgroupDirectories, script: string): Bun.Subprocess;
  /** Ends and removes all. */
  close(): Promise<void>;
}

/** Undefined, with the reason printed, where this machine lets us make none. */
export function openCgroups(): CgroupKit | undefined {
  const mounts = findCgroupMounts();
  const roots = [mounts.unified, mounts.memory, mounts.freezer].map((mount) => mount?.mountPoint);
  const usable = roots.map((root) => (root !== undefined && mayWrite(root) ? root : null));
  if (process.geteuid?.() !== 0 || usable.every((root) => root === null)) {
    console.log("skipped: tests with real cgroups need root and a cgroup file system to write to");
    return undefined;
  }
  const [unified = null, memory = null, freezer = null] = usable;
  const parents: CgroupDirectories = {
    unified,
    memory,
    memoryVersion: memory === null ? null : mounts.memoryVersion,
    freezer,
  };
  const prefix = `observer-test-${process.pid}`;
  const made: CgroupDirectories[] = [];
  const children: Bun.Subprocess[] = [];
  return {
    mounts,
    parents,
    make(name) {
      const { directories } = createCgroup(parents, `${prefix}/${name}`);
      made.push(directories);
      return directories;
    },
    spawn(directories, script) {
      const enter = 'for file in "$@"; do echo 0 > "$file" || exit 99; done';
      const child = Bun.spawn(
        ["sh", "-c", `${enter}\n${script}`, "sh", ...entryFiles(directories)],
        { stdio: ["ignore", "pipe", "ignore"] },
      );
      children.push(child);
      return child;
    },
    async close() {
      for (const directories of made) {
        for (const at of [directories.freezer, directories.unified, directories.memory])
          if (at !== null) await killAll(at);
      }
      for (const child of children) child.kill("SIGKILL");
      await Promise.all(children.map(({ exited }) => exited));
      for (const directories of made) await removeCgroup(directories);
      for (const root of new Set(usable)) if (root !== null) await removeTree(join(root, prefix));
    },
  };
}

/** Resolves when it is true; fails after `forMs`, which is generous because the machine may be busy. */
export async function until(what: () => boolean, forMs = 10_000): Promise<void> {
  const end = performance.now() + forMs;
  while (!what()) {
    if (performance.now() > end) throw new Error(`still not so after ${forMs} ms: ${String(what)}`);
    await Bun.sleep(5);
  }
}

/** Files by path below `root`; with a `cgroup.procs` in every directory that is named, so that it passes for a cgroup. */
export function writeCgroupTree(root: string, files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    const procs = join(dirname(file), "cgroup.procs");
    if (basename(file) !== "cgroup.procs" && processesOf(dirname(file)).length === 0)
      writeFileSync(procs, "");
  }
}
