// Opens what lies below a directory, one component at a time and never through a symlink.

import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  type BigIntStats,
} from "node:fs";
import { ObserverError } from "../core/errors.ts";
import { failedWith } from "../kernel/libc.ts";
import { openDirectoryBeneath } from "../kernel/open-beneath.ts";
import { isWithin, toBytes, type BytePath } from "./byte-path.ts";
import type { Entry, EntryType } from "./tree.ts";

// Observer may be root in a directory that an agent owns: between a check and its use the agent can put a symlink
// anywhere. /proc/self/fd/N names exactly the directory that is open, so that only the last component is looked up.

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** O_PATH: a handle of the file itself, of whatever type and without permission to read it. */
const PATH_ONLY = 0o10000000 | constants.O_NOFOLLOW;
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const PERMISSIONS = 0o7777;

/** The name `name` in the open directory `fd`, for the functions of node:fs. */
export function at(fd: number, name: BytePath): Buffer {
  return Buffer.from(`/proc/self/fd/${fd}/${name}`, "latin1");
}

/**
 * Opens the top directory. Throws `identity_changed` where a symlink leads to it: the path was resolved before, so
 * somebody who owns a directory on the way has put one there meanwhile.
 */
export function openTop(path: string): number {
  const fd = openSync(path, DIRECTORY);
  const opened = readlinkSync(`/proc/self/fd/${fd}`);
  if (opened === path) return fd;
  closeSync(fd);
  throw new ObserverError("identity_changed", `Cannot use ${path}: it is ${opened} now`);
}

export function openDirectoryAt(fd: number, name: BytePath): number {
  return openSync(at(fd, name), DIRECTORY);
}

export function openFileAt(fd: number, name: BytePath): number {
  return openSync(at(fd, name), READ);
}

export function openHandleAt(fd: number, name: BytePath): number {
  return openSync(at(fd, name), PATH_ONLY);
}

export function namesIn(fd: number): BytePath[] {
  const names = readdirSync(`/proc/self/fd/${fd}`, { encoding: "latin1" });
  return names.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** A name that is a symlink at one look and none at the next is looked at again this often. */
const LOOKS_MAX = 10;

/** What is at `name`, or undefined when nothing is, or something else every time. */
export function entryAt(fd: number, name: BytePath): Entry | undefined {
  for (let look = 1; look <= LOOKS_MAX; look += 1) {
    const stat = lstatSync(at(fd, name), { bigint: true, throwIfNoEntry: false });
    if (!stat) return undefined;
    const entry = entryOf(name, stat);
    if (entry.type !== "symlink") return entry;
    try {
      entry.target = readlinkSync(at(fd, name), { encoding: "buffer" }).toString("latin1");
      return entry;
    } catch (error) {
      if (!failedWith(error, "EINVAL", "ENOENT")) throw error;
    }
  }
  return undefined;
}

export function entryOfOpen(fd: number, name: BytePath): Entry {
  return entryOf(name, fstatSync(fd, { bigint: true }));
}

function entryOf(name: BytePath, stat: BigIntStats): Entry {
  const type = typeOf(stat);
  return {
    name,
    type,
    mode: Number(stat.mode) & PERMISSIONS,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtimeNs: stat.mtimeNs,
    size: type === "file" ? Number(stat.size) : 0,
    live: {
      dev: stat.dev,
      ino: stat.ino,
      ctimeNs: stat.ctimeNs,
      links: Number(stat.nlink),
    },
  };
}

function typeOf(stat: BigIntStats): EntryType {
  if (stat.isFile()) return "file";
  if (stat.isDirectory()) return "directory";
  return stat.isSymbolicLink() ? "symlink" : "other";
}

/** Open directories below a top one, the last one kept between calls because paths come in tree order. */
export interface Beneath {
  /** The open directory at `path`; valid until the next call. Throws ELOOP or ENOTDIR where a symlink or file is in the way. */
  directory(path: BytePath): number;
  /** The same as a descriptor of the caller's own, to be closed by it. */
  open(path: BytePath): number;
  /** Forgets `path` and what is below it: it was replaced. */
  forget(path: BytePath): void;
  close(): void;
}

/** A path of this length or more is opened in steps: the kernel takes 4,096 bytes with the final NUL. */
const PATH_BYTES_MAX = 4_096;

export function createBeneath(top: string): Beneath {
  const topFd = openTop(top);
  let last: { path: BytePath; fd: number } | undefined;
  const drop = (): void => {
    if (last) closeSync(last.fd);
    last = undefined;
  };
  return {
    directory(path) {
      if (path === "") return topFd;
      if (last?.path === path) return last.fd;
      drop();
      const fd = openBeneath(topFd, path);
      last = { path, fd };
      return fd;
    },
    open: (path) => openBeneath(topFd, path),
    forget(path) {
      if (last && isWithin(last.path, path)) drop();
    },
    close() {
      drop();
      closeSync(topFd);
    },
  };
}

/** In one step that the kernel keeps below `top`; else component by component, each of which follows nothing. */
function openBeneath(top: number, path: BytePath): number {
  if (path === "") return openDirectoryAt(top, ".");
  const fd = path.length < PATH_BYTES_MAX ? openDirectoryBeneath(top, toBytes(path)) : undefined;
  return fd ?? openInSteps(top, path);
}

/** For kernels and sandboxes without openat2(2), and for paths that are too long for one call. */
export function openInSteps(top: number, path: BytePath): number {
  let open = top;
  for (const name of path.split("/")) {
    const parent = open;
    try {
      open = openDirectoryAt(parent, name);
    } finally {
      if (parent !== top) closeSync(parent);
    }
  }
  return open;
}
