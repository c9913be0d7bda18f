// Takes the guardian out of observer's cgroups, so that who kills observer's whole service does not kill it too.

import { mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { messageOf } from "../core/errors.ts";
import { readKernelText } from "../kernel/kernel-file.ts";

/** A hierarchy as this process sees it, and where in it the process is. */
export interface OwnPlace {
  /** `unified`, or the v1 controllers and names: `memory`, `cpu,cpuacct`, `name=systemd`. */
  hierarchy: string;
  mountPoint: string;
  /** Directory of the process; the mount point itself when it is at the top of what can be seen. */
  directory: string;
}

/** All hierarchies, from the texts of /proc/self/mountinfo and /proc/self/cgroup. */
export function ownPlaces(mountinfo: string, cgroup: string): OwnPlace[] {
  const mounts = mountinfo.split("\n").flatMap((line) => {
    const [before = "", after = ""] = line.split(" - ");
    const [type, , options = ""] = after.split(" ");
    const [, , , root = "", mountPoint = ""] = before.split(" ");
    if (type !== "cgroup" && type !== "cgroup2") return [];
    return [{ unified: type === "cgroup2", root, mountPoint, options: options.split(",") }];
  });
  return cgroup.split("\n").flatMap((line) => {
    const [, id = "", names = "", path = ""] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
    if (path === "" || path.split("/").includes("..")) return [];
    const unified = id === "0" && names === "";
    const mount = mounts.findLast((one) =>
      unified
        ? one.unified
        : !one.unified && names.split(",").every((name) => one.options.includes(name)),
    );
    if (!mount) return [];
    const root = mount.root === "/" ? "" : mount.root;
    if (path !== root && !`${path}/`.startsWith(`${root}/`)) return [];
    const rest = path.slice(root.length).replace(/\/$/, "");
    const hierarchy = unified ? "unified" : names;
    return [{ hierarchy, mountPoint: mount.mountPoint, directory: `${mount.mountPoint}${rest}` }];
  });
}

export interface Left {
  /** Hierarchies in which it is in a cgroup of its own now, or was in nobody's. */
  moved: string[];
  /** Hierarchies in which it stays where observer is, with the reason. */
  stuck: string[];
  /** Moves to the top of each hierarchy and removes the cgroups that were made; what is in use stays. */
  undo(): void;
}

/** Enters `name`/guardian at the top of each hierarchy, else beside observer's own cgroup where only that is allowed. */
export function leaveCgroups(name: string): Left {
  const moved: string[] = [];
  const stuck: string[] = [];
  const entered: { place: OwnPlace; directory: string }[] = [];
  const places = ownPlaces(
    readKernelText("/proc/self/mountinfo") ?? "",
    readKernelText("/proc/self/cgroup") ?? "",
  );
  for (const place of places) {
    const { hierarchy, mountPoint, directory } = place;
    // Whoever ends a service does not end the root cgroup.
    if (directory === mountPoint || directory.endsWith(`/${name}/guardian`)) {
      moved.push(hierarchy);
      continue;
    }
    try {
      entered.push({ place, directory: enterFirst([mountPoint, dirname(directory)], name) });
      moved.push(hierarchy);
    } catch (error) {
      stuck.push(`${hierarchy}: ${messageOf(error)}`);
    }
  }
  return { moved, stuck, undo: () => entered.forEach(leave) };
}

function enterFirst(parents: string[], name: string): string {
  let first: unknown;
  for (const parent of new Set(parents)) {
    try {
      return enter(parent, name);
    } catch (error) {
      first ??= error;
    }
  }
  throw first;
}

function enter(parent: string, name: string): string {
  const directory = join(parent, name, "guardian");
  mkdirSync(directory, { recursive: true });
  for (const at of [join(parent, name), directory]) inheritCpuset(at);
  writeFileSync(join(directory, "cgroup.procs"), "0");
  return directory;
}

// A v1 cpuset takes no process before it has processors and memory nodes; a new one has none.
function inheritCpuset(directory: string): void {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if (readKernelText(join(directory, file))?.trim() !== "") continue;
    writeFileSync(join(directory, file), readKernelText(join(dirname(directory), file)) ?? "");
  }
}

function leave({ place, directory }: { place: OwnPlace; directory: string }): void {
  try {
    writeFileSync(join(place.mountPoint, "cgroup.procs"), "0");
    rmdirSync(directory);
    rmdirSync(dirname(directory));
  } catch {
    // Another guardian or a run is in it, or we may not; an empty cgroup costs nothing.
  }
}
