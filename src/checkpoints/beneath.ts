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
import type { BytePath } from "./byte-path.ts";
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

/** What is at `name`, or undefined when nothing is. */
export function entryAt(fd: number, name: BytePath): Entry | undefined {
  const stat = lstatSync(at(fd, name), { bigint: true, throwIfNoEntry: false });
  if (!stat) return undefined;
  const entry = entryOf(name, stat);
  if (entry.type === "symlink")
    entry.target = readlinkSync(at(fd, name), { encoding: "buffer" }).toString("latin1");
  return entry;
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
    live: { dev: stat.dev, ino: stat.ino, ctimeNs: stat.ctimeNs, links: Number(stat.nlink) },
  };
}

function typeOf(stat: BigIntStats): EntryType {
  if (stat.isFile()) return "file";
  if (stat.isDirectory()) return "directory";
  return stat.isSymbolicLink() ? "symlink" : "other";
}

/** Open directories on the way to a path, kept between calls because paths come in tree order. */
export interface Beneath {
  /** The open directory at `path`; valid until the next call. Throws ELOOP or ENOTDIR where a symlink or file is in the way. */
  directory(path: BytePath): number;
  /** Forgets `path` and what is below it: it was replaced. */
  forget(path: BytePath): void;
  close(): void;
}

export function createBeneath(top: string): Beneath {
  const topFd = openTop(top);
  const chain: { name: BytePath; fd: number }[] = [];
  const cut = (length: number): void => {
    for (const { fd } of chain.splice(length)) closeSync(fd);
  };
  return {
    directory(path) {
      const parts = path === "" ? [] : path.split("/");
      let same = 0;
      while (same < parts.length && chain[same]?.name === parts[same]) same += 1;
      cut(same);
      for (const name of parts.slice(same)) {
        const fd = openDirectoryAt(chain.at(-1)?.fd ?? topFd, name);
        chain.push({ name, fd });
      }
      return chain.at(-1)?.fd ?? topFd;
    },
    forget(path) {
      const parts = path.split("/");
      if (parts.every((name, index) => chain[index]?.name === name)) cut(parts.length - 1);
    },
    close() {
      cut(0);
      closeSync(topFd);
    },
  };
}
