// Carries a plan out: what is missing or different first, deletions next, time stamps of directories last.

import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { messageOf } from "../core/errors.ts";
import { newId } from "../core/ids.ts";
import { setModified, syncFileSystem } from "../kernel/libc.ts";
import { at, createBeneath, entryAt, openHandleAt, type Beneath } from "./beneath.ts";
import { isWithin, nameOf, parentOf, shown, toBytes, type BytePath } from "./byte-path.ts";
import type { Difference } from "./diff.ts";
import { codeOf } from "./live-tree.ts";
import type { Plan } from "./plan.ts";
import type { Entry, TreeReader } from "./tree.ts";

/** Each file is flushed by itself up to this many; beyond, one flush of the whole file system is cheaper. */
const FSYNC_FILES_MAX = 1_000;
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
/** Temporary names begin so; what a killed restore left of them is removed by the next one as a later path. */
const TEMPORARY_PREFIX = ".observer-restore-";

export interface Applied {
  files: number;
  bytes: number;
  /** Steps that were not done, and why. */
  warnings: string[];
}

export interface ApplyOptions {
  /** The directory to change. */
  target: string;
  tree: TreeReader;
  plan: Plan;
}

interface Run extends Applied {
  beneath: Beneath;
  tree: TreeReader;
  steps: Difference[];
  flushEach: boolean;
  asRoot: boolean;
  /** Directories to give their final metadata, as the checkpoint has them. */
  finish: Map<BytePath, Entry>;
  removed: Set<Difference>;
}

/** Never leaves `target`, never follows a symlink, never touches what changed since the plan was made. */
export function applyPlan({ target, tree, plan }: ApplyOptions): Applied {
  const beneath = createBeneath(target);
  const run: Run = {
    beneath,
    tree,
    steps: plan.steps,
    flushEach: plan.steps.length <= FSYNC_FILES_MAX,
    asRoot: process.geteuid?.() === 0,
    finish: new Map(),
    removed: new Set(),
    files: 0,
    bytes: 0,
    warnings: [],
  };
  const parents = plan.directories;
  const attempt = (step: Difference, act: () => void): void => {
    try {
      const parent = parents.get(parentOf(step.path));
      if (parent && step.path !== "") run.finish.set(parentOf(step.path), parent);
      if (!run.asRoot && step.path !== "") unlock(beneath.directory(parentOf(step.path)));
      act();
    } catch (error) {
      run.warnings.push(`${shown(step.path).path || "."}: ${messageOf(error)}`);
    }
  };
  try {
    for (const step of run.steps) if (step.after) attempt(step, () => put(run, step));
    if (!run.flushEach) syncFileSystem(beneath.directory(""));
    for (const step of run.steps.toReversed())
      if (!step.after && !run.removed.has(step)) attempt(step, () => remove(run, step));
    for (const path of [...run.finish.keys()].sort(deepestFirst)) finishDirectory(run, path);
    syncFileSystem(beneath.directory(""));
  } finally {
    beneath.close();
  }
  return { files: run.files, bytes: run.bytes, warnings: run.warnings };
}

/** Root may write anywhere; its owner may not in a directory without the bits. They come back at the end. */
function unlock(fd: number): void {
  const { mode } = fstatSync(fd);
  if ((mode & 0o300) !== 0o300) chmodSync(`/proc/self/fd/${fd}`, (mode & 0o7777) | 0o700);
}

function deepestFirst(a: BytePath, b: BytePath): number {
  const depth = (path: BytePath): number => (path === "" ? 0 : path.split("/").length);
  return depth(b) - depth(a);
}

function put(run: Run, step: Difference): void {
  const { path, before, after } = step;
  if (!after) return;
  if (path === "") {
    run.finish.set("", after);
    return;
  }
  expectUnchanged(run, path, before);
  if (before?.type === "directory" && after.type !== "directory") removeTree(run, step);
  if (after.type === "directory") putDirectory(run, step, after);
  else if (after.type === "symlink") putSymlink(run, step, after);
  else if (before?.type !== "file" || step.what.includes("content")) putFile(run, path, after);
  else setMetadata(run, path, after);
}

class Changed extends Error {}

/** The safety checkpoint holds what the plan saw, so nothing else may be overwritten or removed. */
function expectUnchanged(run: Run, path: BytePath, before: Entry | undefined): void {
  const now = entryAt(run.beneath.directory(parentOf(path)), nameOf(path));
  if (!before && !now) return;
  // A directory's stamps move with what the restore itself does inside it.
  const same =
    before !== undefined &&
    now !== undefined &&
    before.type === now.type &&
    before.live?.ino === now.live?.ino &&
    (now.type === "directory" || sameStamps(before, now));
  if (!same) throw new Changed("changed while the restore was running; left as it is");
}

function sameStamps(before: Entry, now: Entry): boolean {
  if (before.size !== now.size || before.mtimeNs !== now.mtimeNs) return false;
  // Replacing one name of a file moves the change time under its other names.
  return (before.live?.links ?? 1) > 1 || before.live?.ctimeNs === now.live?.ctimeNs;
}

function putDirectory(run: Run, { path, before }: Difference, after: Entry): void {
  if (before?.type !== "directory") {
    const parent = run.beneath.directory(parentOf(path));
    if (before) unlinkSync(at(parent, nameOf(path)));
    mkdirSync(at(parent, nameOf(path)), { mode: 0o700 });
  }
  run.finish.set(path, after);
}

/** A name that nothing of the workspace has; in the same directory, so that the rename is atomic. */
function temporaryName(): BytePath {
  return `${TEMPORARY_PREFIX}${newId()}`;
}

function putSymlink(run: Run, { path, before, what }: Difference, after: Entry): void {
  const parent = run.beneath.directory(parentOf(path));
  if (before?.type !== "symlink" || what.includes("target")) {
    const temporary = temporaryName();
    symlinkSync(toBytes(after.target ?? ""), at(parent, temporary));
    replace(parent, temporary, nameOf(path));
    run.files += 1;
  }
  const fd = openHandleAt(parent, nameOf(path));
  try {
    if (run.asRoot) chownSync(`/proc/self/fd/${fd}`, after.uid, after.gid);
    setModified(at(parent, nameOf(path)), after.mtimeNs);
  } finally {
    closeSync(fd);
  }
}

function replace(parent: number, temporary: BytePath, name: BytePath): void {
  try {
    renameSync(at(parent, temporary), at(parent, name));
  } catch (error) {
    unlinkSync(at(parent, temporary));
    throw error;
  }
}

function putFile(run: Run, path: BytePath, after: Entry): void {
  const parent = run.beneath.directory(parentOf(path));
  const temporary = temporaryName();
  const fd = openSync(at(parent, temporary), CREATE, 0o600);
  try {
    run.bytes += writeContent(run, path, { fd, after });
    // Owner first: changing it clears setuid and setgid.
    if (run.asRoot) fchownSync(fd, after.uid, after.gid);
    fchmodSync(fd, after.mode);
    setModified(at(parent, temporary), after.mtimeNs);
    if (run.flushEach) fsyncSync(fd);
  } catch (error) {
    unlinkSync(at(parent, temporary));
    throw error;
  } finally {
    closeSync(fd);
  }
  replace(parent, temporary, nameOf(path));
  run.files += 1;
}

function writeContent(
  run: Run,
  path: BytePath,
  { fd, after }: { fd: number; after: Entry },
): number {
  let total = 0;
  for (const piece of run.tree.content(path, after)) {
    let written = 0;
    while (written < piece.length) written += writeSync(fd, piece, written, piece.length - written);
    total += written;
  }
  return total;
}

function setMetadata(run: Run, path: BytePath, after: Entry): void {
  const parent = path === "" ? undefined : run.beneath.directory(parentOf(path));
  const name = nameOf(path);
  // The handle stays on what is there now, even when its name is given to a symlink meanwhile.
  const fd = parent === undefined ? run.beneath.directory("") : openHandleAt(parent, name);
  try {
    const handle = `/proc/self/fd/${fd}`;
    if (run.asRoot) chownSync(handle, after.uid, after.gid);
    chmodSync(handle, after.mode);
    setModified(
      parent === undefined ? Buffer.from(`${handle}/.`) : at(parent, name),
      after.mtimeNs,
    );
  } finally {
    if (parent !== undefined) closeSync(fd);
  }
}

function finishDirectory(run: Run, path: BytePath): void {
  const entry = run.finish.get(path);
  if (!entry) return;
  try {
    setMetadata(run, path, entry);
  } catch (error) {
    run.warnings.push(`${shown(path).path || "."}: ${messageOf(error)}`);
  }
}

/** Empties a directory that something else takes the place of; only what the plan saw in it. */
function removeTree(run: Run, { path }: Difference): void {
  for (const step of run.steps.toReversed()) {
    if (step.after || step.path === path || !isWithin(step.path, path)) continue;
    run.removed.add(step);
    remove(run, step);
  }
  run.beneath.forget(path);
  rmdirSync(at(run.beneath.directory(parentOf(path)), nameOf(path)));
}

function remove(run: Run, { path, before }: Difference): void {
  expectUnchanged(run, path, before);
  const name = nameOf(path);
  if (before?.type !== "directory") {
    unlinkSync(at(run.beneath.directory(parentOf(path)), name));
    return;
  }
  run.beneath.forget(path);
  try {
    rmdirSync(at(run.beneath.directory(parentOf(path)), name));
  } catch (error) {
    if (codeOf(error) !== "ENOTEMPTY") throw error;
    throw new Changed("not empty: something new or not covered is in it; left as it is");
  }
}
