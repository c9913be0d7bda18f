// Text of /proc/PID/mountinfo and /proc/PID/cgroup, as far as cgroups go (proc_pid_mountinfo(5), cgroups(7)). Pure.

/** One mount of a cgroup hierarchy. */
export interface CgroupMount {
  version: 1 | 2;
  /** Of v1 only; those of v2 differ from directory to directory. */
  controllers: string[];
  mountPoint: string;
  /** The cgroup that is seen at the mount point, in the terms of the reader's cgroup namespace; begins with `/..` above it. */
  root: string;
  readOnly: boolean;
}

// Fields before the " - ": id, parent, device, root, mount point, options, then optional ones.
const ROOT = 3;
const MOUNT_POINT = 4;
const OPTIONS = 5;

/** Options of a v1 superblock that are no controllers. */
const FLAGS = new Set([
  "rw",
  "ro",
  "xattr",
  "noprefix",
  "clone_children",
  "cpuset_v2_mode",
  "favordynmods",
  "none",
]);

/** All mounts of cgroup file systems, in the order of mounting; of two at one place the later, which hides the other. */
export function parseMountinfo(text: string): CgroupMount[] {
  const found = new Map<string, CgroupMount>();
  for (const line of text.split("\n")) {
    const [before, after] = split(line, " - ");
    const [type, , superOptions] = after.split(" ");
    const fields = before.split(" ");
    const mountPoint = unescape(fields[MOUNT_POINT] ?? "");
    found.delete(mountPoint);
    if (type !== "cgroup" && type !== "cgroup2") continue;
    const controllers = (superOptions ?? "")
      .split(",")
      .filter((name) => name !== "" && !FLAGS.has(name) && !name.includes("="));
    found.set(mountPoint, {
      version: type === "cgroup2" ? 2 : 1,
      controllers: type === "cgroup2" ? [] : controllers,
      mountPoint,
      root: unescape(fields[ROOT] ?? ""),
      readOnly: hasWord(fields[OPTIONS] ?? "", "ro") || hasWord(superOptions ?? "", "ro"),
    });
  }
  return [...found.values()];
}

const hasWord = (list: string, word: string): boolean => list.split(",").includes(word);

function split(line: string, separator: string): [string, string] {
  const at = line.indexOf(separator);
  return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + separator.length)];
}

// The kernel writes space, tab, newline, backslash and # as three octal digits, byte by byte.
function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** Paths of one process, in the terms of the reader's cgroup namespace. */
export interface CgroupPaths {
  unified: string | undefined;
  /** v1 controllers by name. */
  controllers: Map<string, string>;
}

/** A cgroup that was removed under the process is left out: its path may be another's tomorrow. */
export function pathsOfProcess(text: string): CgroupPaths {
  const paths: CgroupPaths = { unified: undefined, controllers: new Map() };
  for (const line of text.split("\n")) {
    // hierarchy id, controllers, path; the path may hold colons, but no newline.
    const [id, rest] = split(line, ":");
    const [names, path] = split(rest, ":");
    if (!path.startsWith("/") || path.endsWith(" (deleted)")) continue;
    if (id === "0" && names === "") paths.unified = path;
    else for (const name of names.split(",")) paths.controllers.set(name, path);
  }
  return paths;
}
