// Writes one file, symlink or hard link of a restore beside its place and renames it over; sets metadata exactly.

import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { messageOf } from "../core/errors.ts";
import { newId } from "../core/ids.ts";
import { setModifiedOf } from "../kernel/libc.ts";
import { linkOpenFile } from "../kernel/link-open.ts";
import type { Hole } from "../kernel/seek-holes.ts";
import { putAttributes } from "./attributes.ts";
import { at, entryAt, openHandleAt, type Beneath } from "./beneath.ts";
import { nameOf, parentOf, shown, toBytes, type BytePath } from "./byte-path.ts";
import type { LinkGroup } from "./links.ts";
import type { Entry, TreeReader } from "./tree.ts";

const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
/** Temporary names begin so; what a killed restore left of them is removed by the next one as a later path. */
const TEMPORARY_PREFIX = ".observer-restore-";

/** Something else is there than the plan saw. */
export class Changed extends Error {}

/** A directory entry's own file, whatever its name is by now. */
export type FileId = Pick<NonNullable<Entry["live"]>, "dev" | "ino">;

export interface Writer {
  beneath: Beneath;
  tree: TreeReader;
  /** Each file is flushed by itself. */
  flushEach: boolean;
  asRoot: boolean;
  /** Files of which one name is restored already; the others are joined to it. */
  leaders: Map<LinkGroup, FileId & { path: BytePath }>;
  files: number;
  bytes: number;
  /** What was not done, and why. */
  warnings: string[];
}

export function warn(writer: Writer, path: BytePath, what: string): void {
  writer.warnings.push(`${shown(path).path || "."}: ${what}`);
}

/** A name that nothing of the workspace has; in the same directory, so that the rename is atomic. */
function temporaryName(): BytePath {
  return `${TEMPORARY_PREFIX}${newId()}`;
}

/** Runs `make`, which puts something at the temporary name, and gives it the name `name`; leaves nothing behind. */
function putAtOnce(parent: number, name: BytePath, make: (temporary: BytePath) => void): void {
  const temporary = temporaryName();
  try {
    make(temporary);
    renameSync(at(parent, temporary), at(parent, name));
  } catch (error) {
    removeQuietly(parent, temporary);
    throw error;
  }
}

function removeQuietly(parent: number, name: BytePath): void {
  try {
    unlinkSync(at(parent, name));
  } catch {
    // It was never made. What cannot be removed goes with the next restore.
  }
}

interface Wanted {
  after: Entry;
  group: LinkGroup | undefined;
}

/** Writes the file or symlink anew, or joins it to a name of the same file that was. */
export function putNew(writer: Writer, path: BytePath, wanted: Wanted): void {
  const leader = wanted.group && writer.leaders.get(wanted.group);
  if (leader && joinLeader(writer, path, leader)) return;
  if (wanted.after.type === "symlink") putSymlink(writer, path, wanted);
  else putFile(writer, path, wanted);
  writer.files += 1;
}

function putFile(writer: Writer, path: BytePath, { after, group }: Wanted): void {
  const parent = writer.beneath.directory(parentOf(path));
  putAtOnce(parent, nameOf(path), (temporary) => {
    const fd = openSync(at(parent, temporary), CREATE, 0o600);
    try {
      writer.bytes += writeContent(writer.tree, path, { fd, after });
      // Owner first: changing it clears setuid, setgid and capabilities.
      if (writer.asRoot) fchownSync(fd, after.uid, after.gid);
      fchmodSync(fd, after.mode);
      restoreAttributes(writer, path, { fd, after });
      setModifiedOf(fd, after.mtimeNs);
      if (writer.flushEach) fsyncSync(fd);
      if (group) lead(writer, path, { group, fd });
    } finally {
      closeSync(fd);
    }
  });
}

/** The other names of this file are joined to this one. */
function lead(
  writer: Writer,
  path: BytePath,
  { group, fd }: { group: LinkGroup; fd: number },
): void {
  if (writer.leaders.has(group)) return;
  writer.leaders.set(group, { path, ...idOf(fd) });
  if (group.names > group.paths.length)
    warn(writer, path, "is a file of its own now: other names of it were not restored");
}

function idOf(fd: number): FileId {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return { dev, ino };
}

/** Bytes of content; what is a hole is left one. */
function writeContent(
  tree: TreeReader,
  path: BytePath,
  { fd, after }: { fd: number; after: Entry },
): number {
  const holes = tree.holes(path, after);
  // Its length first: a file system that sees a file grow may give it more space than it needs (xfs).
  if (holes.length > 0) ftruncateSync(fd, after.size);
  let total = 0;
  for (const piece of tree.content(path, after)) {
    if (holes.length === 0) writeAll(fd, piece, { start: 0, end: piece.length, total });
    else for (const part of solid(piece, total, holes)) writeAll(fd, piece, { ...part, total });
    total += piece.length;
  }
  return total;
}

function writeAll(
  fd: number,
  piece: Uint8Array,
  { start, end, total }: { start: number; end: number; total: number },
): void {
  for (let at = start; at < end;) at += writeSync(fd, piece, at, end - at, total + at);
}

/** The parts of a piece at `offset` that no hole covers. A hole that holds anything but zeros is none. */
export function* solid(
  piece: Uint8Array,
  offset: number,
  holes: readonly Hole[],
): Generator<{ start: number; end: number }> {
  let start = 0;
  for (const hole of holes) {
    const from = Math.max(0, hole.start - offset);
    const to = Math.min(piece.length, hole.start + hole.length - offset);
    if (from >= to || !isZero(piece.subarray(from, to))) continue;
    if (from > start) yield { start, end: from };
    start = to;
  }
  if (start < piece.length) yield { start, end: piece.length };
}

function isZero(bytes: Uint8Array): boolean {
  return bytes[0] === 0 && Buffer.compare(bytes.subarray(1), bytes.subarray(0, -1)) === 0;
}

function putSymlink(writer: Writer, path: BytePath, { after, group }: Wanted): void {
  const parent = writer.beneath.directory(parentOf(path));
  putAtOnce(parent, nameOf(path), (temporary) => {
    symlinkSync(toBytes(after.target ?? ""), at(parent, temporary));
    const fd = openHandleAt(parent, temporary);
    try {
      const stat = fstatSync(fd);
      // A file that somebody put at this name meanwhile would be given away.
      if (!stat.isSymbolicLink() || stat.nlink !== 1)
        throw new Changed("changed while the restore was running; left as it is");
      stampSymlink(writer, fd, after);
      if (group) lead(writer, path, { group, fd });
    } finally {
      closeSync(fd);
    }
  });
}

function stampSymlink(writer: Writer, fd: number, after: Entry): void {
  if (writer.asRoot) chownSync(`/proc/self/fd/${fd}`, after.uid, after.gid);
  setModifiedOf(fd, after.mtimeNs);
}

/** One more name for a file that was restored. False, with a warning, where the file system will not. */
function joinLeader(writer: Writer, path: BytePath, leader: FileId & { path: BytePath }): boolean {
  const parent = writer.beneath.directory(parentOf(path));
  const from = writer.beneath.open(parentOf(leader.path));
  try {
    const fd = openHandleAt(from, nameOf(leader.path));
    try {
      expectSame(fd, leader);
      putAtOnce(parent, nameOf(path), (temporary) => linkOpenFile(fd, parent, toBytes(temporary)));
      return true;
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const other = shown(leader.path).path;
    warn(writer, path, `is not joined with ${other} but a file of its own: ${messageOf(error)}`);
    return false;
  } finally {
    closeSync(from);
  }
}

function expectSame(fd: number, known: FileId): void {
  const { dev, ino } = idOf(fd);
  if (dev !== known.dev || ino !== known.ino)
    throw new Changed("changed while the restore was running; left as it is");
}

function restoreAttributes(
  writer: Writer,
  path: BytePath,
  { fd, after }: { fd: number; after: Entry },
): void {
  // A checkpoint that does not know them must not take any away.
  if (!writer.tree.exact) return;
  for (const problem of putAttributes(fd, writer.tree.attributes(path, after), writer.asRoot))
    warn(writer, path, problem);
}

/** Owner, mode, attributes and time of what is there already. `known`: what the plan saw there, where it saw anything. */
export function setMetadata(
  writer: Writer,
  path: BytePath,
  { after, known }: { after: Entry; known: FileId | undefined },
): void {
  // The handle stays on what is there now, even when its name is given to something else meanwhile.
  const fd =
    path === ""
      ? writer.beneath.directory("")
      : openHandleAt(writer.beneath.directory(parentOf(path)), nameOf(path));
  try {
    if (known) expectSame(fd, known);
    if (after.type === "symlink") {
      stampSymlink(writer, fd, after);
      return;
    }
    const handle = `/proc/self/fd/${fd}`;
    if (writer.asRoot) chownSync(handle, after.uid, after.gid);
    chmodSync(handle, after.mode);
    restoreAttributes(writer, path, { fd, after });
    setModifiedOf(fd, after.mtimeNs);
  } finally {
    if (path !== "") closeSync(fd);
  }
}

/** What is at `path` now. */
export function idAt(writer: Writer, path: BytePath): FileId | undefined {
  return entryAt(writer.beneath.directory(parentOf(path)), nameOf(path))?.live;
}
