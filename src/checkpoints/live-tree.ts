// Reads a directory on disk as a tree: the living workspace, or a btrfs snapshot of one.

import { closeSync, fstatSync, readSync } from "node:fs";
import {
  at,
  createBeneath,
  entryAt,
  entryOfOpen,
  namesIn,
  openDirectoryAt,
  openFileAt,
  openTop,
  type Beneath,
} from "./beneath.ts";
import { joined, nameOf, parentOf, type BytePath } from "./byte-path.ts";
import { mountsBelow } from "./mounts.ts";
import {
  CACHE_MARKER,
  CACHE_SIGNATURE,
  createJudge,
  missing,
  type Judge,
  type Rules,
} from "./rules.ts";
import { PLACEHOLDER_INODE } from "../kernel/btrfs.ts";
import { holesOf, type Hole } from "../kernel/seek-holes.ts";
import { readAttributes } from "./attributes.ts";
import type { Attribute, Content, Directory, Entry, TreeReader } from "./tree.ts";

/** Large enough that system calls do not count, small enough to keep a few. */
const READ_BYTES = 1024 * 1024;
/** A file with more holes comes back with zeros in their place: the list would cost more than they save. */
const HOLES_MAX = 10_000;

export interface LiveTreeOptions {
  /** Absolute, resolved. */
  path: string;
  rules: Rules;
  include?: ReadonlySet<BytePath>;
  /** A btrfs snapshot: empty placeholders stand where nested subvolumes were. */
  snapshot?: boolean;
  /** Unchanged content by what the file system says, from the last capture. */
  known?: (path: BytePath, entry: Entry) => Content | undefined;
}

/** A live tree that also gives its open directories away, for capture. */
export interface LiveTree extends TreeReader {
  /** Whether `path` must be held whatever the rules and limits say. */
  isIncluded(path: BytePath): boolean;
  root(): LiveDirectory;
}

export interface LiveDirectory extends Directory {
  readonly fd: number;
  enter(entry: Entry): LiveDirectory | undefined;
}

export function createLiveTree(options: LiveTreeOptions): LiveTree {
  const beneath = createBeneath(options.path);
  const self = entryOfOpen(beneath.directory(""), "");
  const judge = createJudge({
    rules: options.rules,
    dev: self.live?.dev,
    mounts: mountsBelow(options.path),
    include: options.include ?? new Set(),
  });
  const open = (fd: number, path: BytePath): LiveDirectory =>
    openDirectory({ fd, path, judge, snapshot: options.snapshot === true });
  const known = remembering(options.known);
  return {
    self,
    exact: true,
    root: () => open(openTop(options.path), ""),
    content: (path) => contentOf(beneath, path),
    contentHash(path, entry) {
      const content = known(path, entry);
      if (content) return content.hash;
      const hasher = new Bun.CryptoHasher("sha256");
      for (const piece of contentOf(beneath, path)) hasher.update(piece);
      return hasher.digest("hex");
    },
    attributes(path, entry) {
      if (entry.type !== "file" && entry.type !== "directory") return [];
      const content = known(path, entry);
      return content ? (content.attributes ?? []) : attributesAt(beneath, path);
    },
    holes: (path, entry) => holesAt(beneath, path, entry),
    links: (_path, { live, type }) =>
      live && live.links > 1 && (type === "file" || type === "symlink")
        ? { key: `${live.dev}:${live.ino}`, names: live.links }
        : undefined,
    uncovered: () => undefined,
    isIncluded: (path) => judge.isIncluded(path),
    close: () => beneath.close(),
  };
}

/** Asked for its hash and its attributes, one file after the other. */
function remembering(
  find: LiveTreeOptions["known"],
): (path: BytePath, entry: Entry) => Content | undefined {
  let last: { entry: Entry; content: Content | undefined } | undefined;
  return (path, entry) => {
    if (!find || entry.type !== "file") return undefined;
    if (last?.entry !== entry) last = { entry, content: find(path, entry) };
    return last.content;
  };
}

function attributesAt(beneath: Beneath, path: BytePath): Attribute[] {
  if (path === "") return readAttributes(beneath.directory(""));
  return readAttributes(at(beneath.directory(parentOf(path)), nameOf(path)));
}

/** Holes of an open file of this size. How many blocks it has does not tell: some file systems count its attributes. */
export function holesIn(fd: number, size: number): Hole[] {
  return holesOf(fd, { size, most: HOLES_MAX }) ?? [];
}

function holesAt(beneath: Beneath, path: BytePath, entry: Entry): Hole[] {
  const fd = openFileAt(beneath.directory(parentOf(path)), nameOf(path));
  try {
    return holesIn(fd, entry.size);
  } finally {
    closeSync(fd);
  }
}

interface OpenDirectory {
  fd: number;
  path: BytePath;
  judge: Judge;
  snapshot: boolean;
}

function openDirectory(opened: OpenDirectory): LiveDirectory {
  const { fd, path, judge } = opened;
  const names = namesIn(fd);
  const skip = judge.directory(path, new Set(names), () => hasCacheSignature(fd));
  let entries: Entry[] | undefined;
  return {
    fd,
    // Listing is put off: nobody looks into a directory that is left out.
    get entries() {
      return (entries ??= list(names, opened));
    },
    ...(skip && { skip }),
    attributes: () => readAttributes(fd),
    enter(entry) {
      try {
        return openDirectory({
          ...opened,
          fd: openDirectoryAt(fd, entry.name),
          path: joined(path, entry.name),
        });
      } catch (error) {
        const code = codeOf(error);
        if (code === "EACCES" || code === "EPERM") return closedDirectory(code);
        if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP") return undefined;
        throw error;
      }
    },
    close: () => closeSync(fd),
  };
}

function list(names: BytePath[], opened: OpenDirectory): Entry[] {
  const entries: Entry[] = [];
  for (const name of names) {
    const entry = entryAt(opened.fd, name);
    // Gone since the directory was read.
    if (!entry) continue;
    const path = joined(opened.path, name);
    const placeholder =
      opened.snapshot && entry.type === "directory" && entry.live?.ino === PLACEHOLDER_INODE
        ? missing("nested subvolume", true)
        : undefined;
    const skip = opened.judge.entry(path, entry);
    const why = skip?.listedOnly === true ? skip : (placeholder ?? skip);
    if (why) entry.skip = why;
    entries.push(entry);
  }
  return entries;
}

function closedDirectory(code: string): LiveDirectory {
  return {
    fd: -1,
    entries: [],
    skip: missing(`unreadable: ${code}`, true),
    enter: () => undefined,
    close: () => undefined,
  };
}

function hasCacheSignature(fd: number): boolean {
  try {
    const file = openFileAt(fd, CACHE_MARKER);
    try {
      const head = Buffer.alloc(CACHE_SIGNATURE.length);
      return readSync(file, head) === head.length && head.toString("latin1") === CACHE_SIGNATURE;
    } finally {
      closeSync(file);
    }
  } catch {
    // Not a readable file, so it says nothing.
    return false;
  }
}

function* contentOf(beneath: Beneath, path: BytePath): Generator<Uint8Array> {
  const fd = openFileAt(beneath.directory(parentOf(path)), nameOf(path));
  try {
    yield* pieces(fd);
  } finally {
    closeSync(fd);
  }
}

/** The content of an open file from its beginning; each piece is valid until the next is asked for. */
export function* pieces(fd: number, most = READ_BYTES): Generator<Uint8Array> {
  // One byte more than there should be, so that the end is seen in the same read.
  const bytes = Math.min(most, fstatSync(fd).size + 1);
  const buffer = Buffer.allocUnsafe(bytes);
  for (let position = 0; ;) {
    let filled = 0;
    while (filled < bytes) {
      const count = readSync(fd, buffer, filled, bytes - filled, position + filled);
      if (count === 0) break;
      filled += count;
    }
    if (filled > 0) yield buffer.subarray(0, filled);
    if (filled < bytes) return;
    position += filled;
  }
}

/** The error's code as node:fs gives it, e.g. `ENOENT`. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}
