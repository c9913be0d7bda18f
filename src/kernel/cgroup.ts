// Where the cgroup hierarchies are mounted, and in which directories of them a process is.

import { existsSync } from "node:fs";
import { dirname } from "node:path";
import type { CgroupDirectories } from "../core/agent.ts";
import { readKernelText } from "./kernel-file.ts";
import { type CgroupMount, pathsOfProcess, parseMountinfo } from "./structs/mountinfo.ts";

/** The hierarchies that observer uses; null where the host has none, or shows us none. */
export interface CgroupMounts {
  unified: CgroupMount | null;
  /** Where memory is counted and limited: the v1 controller's hierarchy, else v2 when that has the controller. */
  memory: CgroupMount | null;
  memoryVersion: 1 | 2 | null;
  /** v1 freezer. */
  freezer: CgroupMount | null;
}

export const NO_CGROUPS: CgroupDirectories = {
  unified: null,
  memory: null,
  memoryVersion: null,
  freezer: null,
};

/** Takes the text of another /proc/PID/mountinfo too; without, our own. */
export function findCgroupMounts(mountinfo?: string): CgroupMounts {
  const text = mountinfo ?? readKernelText("/proc/self/mountinfo") ?? "";
  const mounts = parseMountinfo(text).filter(({ mountPoint }) => isCgroup(mountPoint));
  const unified = best(mounts.filter(({ version }) => version === 2));
  const memory = best(mounts.filter(({ controllers }) => controllers.includes("memory")));
  const unifiedMemory = unified && controllersOf(unified.mountPoint).includes("memory");
  return {
    unified,
    memory: memory ?? (unifiedMemory ? unified : null),
    memoryVersion: memory ? 1 : unifiedMemory ? 2 : null,
    freezer: best(mounts.filter(({ controllers }) => controllers.includes("freezer"))),
  };
}

// One hierarchy may be mounted several times: better where it can be written, then where more of it is seen.
function best(mounts: CgroupMount[]): CgroupMount | null {
  const rank = ({ readOnly, root }: CgroupMount): number =>
    (readOnly ? 1_000_000 : 0) + (root === "/" ? 0 : root.length);
  return [...mounts].sort((one, other) => rank(one) - rank(other))[0] ?? null;
}

/** Names in the directory's cgroup.controllers; none for v1. */
export function controllersOf(directory: string): string[] {
  return words(readKernelText(`${directory}/cgroup.controllers`));
}

/** Controllers that the children of the directory have (cgroup.subtree_control); none for v1. */
export function childControllersOf(directory: string): string[] {
  return words(readKernelText(`${directory}/cgroup.subtree_control`));
}

const words = (text: string | null): string[] => text?.split(/\s+/).filter(Boolean) ?? [];

/** Whether the directory is a cgroup that exists now; also of a fixture tree. */
export function isCgroup(directory: string): boolean {
  return existsSync(`${directory}/cgroup.procs`);
}

/** The directory and those above it, up to the mount point, nearest first. */
export function ancestorsOf(directory: string): string[] {
  const all: string[] = [];
  for (let at = directory; isCgroup(at); at = dirname(at)) {
    all.push(at);
    if (at === "/") break;
  }
  return all;
}

/**
 * The cgroups of a process. All null when it ended; one is null when the process is outside of what our mounts
 * show. The directories of a process in a container lie deeper in the same hierarchy.
 */
export function cgroupsOf(pid: number, mounts: CgroupMounts): CgroupDirectories {
  const text = readKernelText(`/proc/${pid}/cgroup`);
  return text === null ? NO_CGROUPS : directoriesOf(text, mounts);
}

/** The same of the text of /proc/PID/cgroup. */
export function directoriesOf(text: string, mounts: CgroupMounts): CgroupDirectories {
  const paths = pathsOfProcess(text);
  const unified = mounts.unified && directoryIn(mounts.unified, paths.unified);
  const memory =
    mounts.memoryVersion === 1
      ? mounts.memory && directoryIn(mounts.memory, paths.controllers.get("memory"))
      : mounts.memoryVersion === 2 && unified !== null
        ? nearestWithMemory(unified)
        : null;
  return {
    unified,
    memory,
    memoryVersion: memory === null ? null : mounts.memoryVersion,
    freezer: mounts.freezer && directoryIn(mounts.freezer, paths.controllers.get("freezer")),
  };
}

// In v2 a cgroup has memory files only where its parent hands the controller down; else an ancestor counts for it.
function nearestWithMemory(directory: string): string | null {
  return ancestorsOf(directory).find((at) => existsSync(`${at}/memory.current`)) ?? null;
}

/**
 * The directory of a path of /proc/PID/cgroup below a mount; null when the mount does not show it. Both are in the
 * terms of our cgroup namespace, so that a path with `..` lies outside of it and has no name here.
 */
export function directoryIn(mount: CgroupMount, path: string | undefined): string | null {
  if (path === undefined) return null;
  const root = mount.root === "/" ? "" : mount.root;
  if (path !== root && !path.startsWith(`${root}/`)) return null;
  const rest = path.slice(root.length).replace(/^\/$/, "");
  if (rest.split("/").includes("..")) return null;
  return `${mount.mountPoint === "/" ? "" : mount.mountPoint}${rest}`;
}

/** True when `directory` is `ancestor` or lies below it. */
export function isWithin(directory: string, ancestor: string): boolean {
  return directory === ancestor || directory.startsWith(`${ancestor}/`);
}
