// The btrfs backend: read-only snapshots beside the workspace, made by the kernel in milliseconds.

import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmdirSync,
  rmSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Checkpoint, SkippedPath, VerifyResult } from "../core/checkpoint.ts";
import { messageOf, ObserverError } from "../core/errors.ts";
import {
  createSnapshot,
  createSubvolume,
  destroySubvolume,
  hasNestedSubvolumes,
  isBtrfs,
  isSubvolume,
  makeWritable,
  subvolumeInfo,
} from "../kernel/btrfs.ts";
import { SystemCallError } from "../kernel/libc.ts";
import type { Backend, CreateJob, Saved, Workspace } from "./backend.ts";
import { joined, shown, type BytePath } from "./byte-path.ts";
import { codeOf, createLiveTree } from "./live-tree.ts";
import { isMountPoint } from "./mounts.ts";
import { EVERYTHING, SNAPSHOTS_NAME } from "./rules.ts";
import { sha256 } from "./store/blobs.ts";
import type { Directory } from "./tree.ts";

/** Enough of a hash to keep the workspaces of one directory apart. */
const KEY_LENGTH = 16;
const OWN_DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Names that are looked at to count files and bytes: some 50 ms. */
const COUNTED_MAX = 5_000;
const EPERM = 1;
const ENOENT = 2;

export function createBtrfsBackend(): Backend {
  return {
    name: "btrfs",
    detect,
    create,
    open(checkpoint) {
      const path = locate(checkpoint);
      if (path === undefined)
        throw new ObserverError("corrupt", `The snapshot of checkpoint ${checkpoint.id} is gone`);
      return {
        tree: createLiveTree({ path, rules: EVERYTHING, snapshot: true }),
        rules: EVERYTHING,
      };
    },
    exists(checkpoint) {
      const path = locate(checkpoint);
      if (path === undefined) return undefined;
      const uuid = checkpoint.identity?.replace(/^btrfs:/, "");
      check(path, uuid);
      return saved(path, checkpoint.identity ?? "");
    },
    delete(checkpoints) {
      for (const checkpoint of checkpoints) remove(checkpoint);
      // The kernel frees the space in its own time.
      return { warnings: [], freedBytes: 0 };
    },
    verify,
  };
}

function detect({ path }: Workspace): { usable: boolean; reason: string } {
  if (!isBtrfs(path)) return { usable: false, reason: "not on btrfs" };
  if (!isSubvolume(path))
    return { usable: false, reason: "a plain directory on btrfs, not a subvolume" };
  const uid = process.geteuid?.() ?? -1;
  if (uid !== 0 && lstatSync(path).uid !== uid)
    return { usable: false, reason: "the subvolume belongs to another user" };
  return { usable: true, reason: "a btrfs subvolume" };
}

function keyOf(workspace: string): string {
  return sha256(Buffer.from(workspace)).slice(0, KEY_LENGTH);
}

/** Beside the workspace; inside it, as a subvolume of its own, where beside would be another file system. */
function placesOf(workspace: string): string[] {
  const inside = join(workspace, SNAPSHOTS_NAME);
  const beside = join(dirname(workspace), SNAPSHOTS_NAME);
  return isMountPoint(workspace) ? [inside, beside] : [beside, inside];
}

function create(job: CreateJob): Saved {
  const { path, identity } = job.workspace;
  const uuid = subvolumeInfo(path).uuid;
  const place = preparePlace(path);
  const directory = join(place, keyOf(path));
  ensureOwn(directory);
  createSnapshot(path, directory, job.id);
  const snapshot = join(directory, job.id);
  check(snapshot, uuid);
  return saved(snapshot, identity, hasNestedSubvolumes(path));
}

function preparePlace(workspace: string): string {
  const inside = join(workspace, SNAPSHOTS_NAME);
  if (!isMountPoint(workspace)) {
    const beside = join(dirname(workspace), SNAPSHOTS_NAME);
    ensureOwn(beside);
    return beside;
  }
  // A subvolume, so that no snapshot of the workspace holds the snapshots before it.
  if (!existsSync(inside)) createSubvolume(workspace, SNAPSHOTS_NAME);
  if (!isSubvolume(inside))
    throw new ObserverError(
      "refused_path",
      `Cannot keep snapshots in ${inside}: it is not a subvolume`,
    );
  ensureOwn(inside);
  return inside;
}

/** The workspace's owner may own the place around it: what stands there must be ours. */
function ensureOwn(path: string): void {
  const refused = (cause?: unknown): ObserverError =>
    new ObserverError(
      "refused_path",
      `Cannot keep snapshots in ${path}: it is not a directory of observer's own user`,
      { cause },
    );
  let fd: number;
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
  try {
    // Through the open directory: by its name, a symlink put there meanwhile would be followed.
    fd = openSync(path, OWN_DIRECTORY);
  } catch (error) {
    throw refused(error);
  }
  try {
    if (fstatSync(fd).uid !== process.geteuid?.()) throw refused();
    fchmodSync(fd, 0o700);
  } finally {
    closeSync(fd);
  }
}

function check(snapshot: string, uuid: string | undefined): void {
  const problem = problemOf(snapshot, uuid);
  if (problem !== undefined)
    throw new ObserverError("corrupt", `Snapshot ${snapshot} is not usable: ${problem}`);
}

function problemOf(snapshot: string, uuid: string | undefined): string | undefined {
  if (!isSubvolume(snapshot)) return "it is not a subvolume";
  const info = subvolumeInfo(snapshot);
  if (!info.readOnly) return "it is writable";
  if (uuid !== undefined && uuid !== "" && info.parentUuid !== uuid)
    return "it is a snapshot of something else";
  return undefined;
}

function saved(snapshot: string, identity: string, mayNest = true): Saved {
  const skipped = mayNest ? nestedIn(snapshot) : [];
  return {
    ref: snapshot,
    identity,
    ...contentOf(snapshot),
    verified: true,
    skipped,
    warnings: [],
  };
}

/** Files and bytes of a snapshot, by its names alone; null where there are so many that counting costs more than saving. */
function contentOf(snapshot: string): { files: number | null; bytes: number | null } {
  const tree = createLiveTree({ path: snapshot, rules: EVERYTHING, snapshot: true });
  let left = COUNTED_MAX;
  let files = 0;
  let bytes = 0;
  const count = (directory: Directory): void => {
    for (const entry of directory.entries) {
      if ((left -= 1) < 0) break;
      if (entry.type === "file" || entry.type === "symlink") files += 1;
      bytes += entry.size;
      const inner = entry.type === "directory" && !entry.skip ? directory.enter(entry) : undefined;
      if (inner) count(inner);
    }
    directory.close();
  };
  try {
    count(tree.root());
  } finally {
    tree.close();
  }
  return left < 0 ? { files: null, bytes: null } : { files, bytes };
}

/** Nested subvolumes are empty placeholders in a snapshot; the kernel says nothing about it. */
function nestedIn(snapshot: string): SkippedPath[] {
  const tree = createLiveTree({ path: snapshot, rules: EVERYTHING, snapshot: true });
  const skipped: SkippedPath[] = [];
  try {
    const walk = (directory: Directory, path: BytePath): void => {
      for (const entry of directory.entries) {
        const child = joined(path, entry.name);
        if (entry.skip && !entry.skip.listedOnly)
          skipped.push({ ...shown(child), reason: entry.skip.reason, listedOnly: false });
        if (entry.skip || entry.type !== "directory") continue;
        const opened = directory.enter(entry);
        if (opened) walk(opened, child);
      }
      directory.close();
    };
    walk(tree.root(), "");
  } finally {
    tree.close();
  }
  return skipped;
}

/** Where the snapshot is: as recorded, else in the places that it could have been made in. */
function locate(checkpoint: Checkpoint): string | undefined {
  const candidates =
    checkpoint.ref === null
      ? placesOf(checkpoint.workspace).map((place) =>
          join(place, keyOf(checkpoint.workspace), checkpoint.id),
        )
      : [checkpoint.ref];
  return candidates.find((path) => lstatSync(path, { throwIfNoEntry: false }) !== undefined);
}

function remove(checkpoint: Checkpoint): void {
  const path = locate(checkpoint);
  if (path === undefined) return;
  if (!isSubvolume(path))
    throw new ObserverError("conflict", `Cannot delete ${path}: it is not a snapshot`);
  const directory = dirname(path);
  try {
    destroySubvolume(directory, basename(path));
  } catch (error) {
    // Without root only the mount option user_subvol_rm_allowed permits it; its owner may empty it instead.
    if (!(error instanceof SystemCallError) || error.errno !== EPERM) throw error;
    makeWritable(path);
    rmSync(path, { recursive: true, force: true });
  }
  tidy(directory);
}

/** Takes the emptied directories away, so that nothing of observer stays beside a workspace without checkpoints. */
function tidy(directory: string): void {
  try {
    rmdirSync(directory);
    rmdirSync(dirname(directory));
  } catch {
    // Other snapshots are in it.
  }
}

function verify(checkpoint: Checkpoint): VerifyResult {
  const path = locate(checkpoint);
  let problem: string | undefined;
  try {
    problem =
      path === undefined
        ? "the snapshot is gone"
        : problemOf(path, checkpoint.identity?.replace(/^btrfs:/, ""));
  } catch (error) {
    if (!(error instanceof SystemCallError) || error.errno !== ENOENT) throw error;
    problem = messageOf(error);
  }
  return {
    id: checkpoint.id,
    ok: problem === undefined,
    // btrfs checks every block it reads against its own checksum; a snapshot's content is not read here.
    files_checked: 0,
    bytes_checked: 0,
    problems: problem === undefined ? [] : [`corrupt: ${problem}`],
  };
}
