// Carries a plan out: what is missing or different first, deletions next, time stamps of directories last.

import { chmodSync, fstatSync, mkdirSync, rmdirSync, unlinkSync } from "node:fs";
import { messageOf } from "../core/errors.ts";
import { syncFileSystem } from "../kernel/libc.ts";
import { at, createBeneath, entryAt } from "./beneath.ts";
import { isWithin, nameOf, parentOf, type BytePath } from "./byte-path.ts";
import type { Aspect, Difference } from "./diff.ts";
import { codeOf } from "./live-tree.ts";
import type { Plan } from "./plan.ts";
import { Changed, idAt, putNew, setMetadata, warn, type FileId, type Writer } from "./put-entry.ts";
import type { Entry, TreeReader } from "./tree.ts";

/** Each file is flushed by itself up to this many; beyond, one flush of the whole file system is cheaper. */
const FSYNC_FILES_MAX = 1_000;
/** What cannot be changed in a file that stays. */
const ANEW: ReadonlySet<Aspect> = new Set(["content", "links", "target", "type"]);

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

interface Run extends Writer {
  plan: Plan;
  /** Directories to give their final metadata, as the checkpoint has them, and which ones these are. */
  finish: Map<BytePath, { after: Entry; known: FileId | undefined }>;
  removed: Set<Difference>;
  /** Modification times that this restore gave to files with several names, which are seen under each of them. */
  stamped: Map<bigint, bigint>;
  /** What found no space, to be tried again when the deletions are done; undefined from then on. */
  starved: Difference[] | undefined;
}

/** Never leaves `target`, never follows a symlink, never touches what changed since the plan was made. */
export function applyPlan({ target, tree, plan }: ApplyOptions): Applied {
  const beneath = createBeneath(target);
  const run: Run = {
    beneath,
    tree,
    plan,
    flushEach: plan.steps.length <= FSYNC_FILES_MAX,
    asRoot: process.geteuid?.() === 0,
    leaders: new Map(),
    finish: new Map(),
    removed: new Set(),
    stamped: new Map(),
    starved: [],
    files: 0,
    bytes: 0,
    warnings: [],
  };
  try {
    for (const step of plan.steps) if (step.after) attempt(run, step, () => put(run, step));
    if (!run.flushEach) syncFileSystem(beneath.directory(""));
    for (const step of plan.steps.toReversed())
      if (!step.after && !run.removed.has(step)) attempt(run, step, () => remove(run, step));
    const again = run.starved ?? [];
    run.starved = undefined;
    for (const step of again) attempt(run, step, () => put(run, step));
    for (const path of [...run.finish.keys()].sort(deepestFirst)) finishDirectory(run, path);
    syncFileSystem(beneath.directory(""));
  } finally {
    beneath.close();
  }
  return { files: run.files, bytes: run.bytes, warnings: run.warnings };
}

/** One path that cannot be restored is told and does not stop the others. */
function attempt(run: Run, step: Difference, act: () => void): void {
  const { path } = step;
  try {
    if (path !== "") {
      const parent = parentOf(path);
      const sides = run.plan.directories.get(parent);
      // What was made just now is noted already, with what it is.
      if (sides && !run.finish.has(parent))
        run.finish.set(parent, { after: sides.after, known: sides.before?.live });
      if (!run.asRoot) unlock(run.beneath.directory(parent));
    }
    act();
  } catch (error) {
    if (run.starved && codeOf(error) === "ENOSPC") run.starved.push(step);
    else warn(run, path, messageOf(error));
  }
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
  const { path, before, after, what } = step;
  if (!after) return;
  if (path === "") {
    run.finish.set("", { after, known: before?.live });
    return;
  }
  expectUnchanged(run, path, before);
  if (before?.type === "directory" && after.type !== "directory") removeTree(run, step);
  if (after.type === "directory") {
    putDirectory(run, step, after);
    return;
  }
  const reaches = run.plan.reaching.has(path);
  const anew = before?.type !== after.type || what.some((aspect) => ANEW.has(aspect)) || reaches;
  if (!anew) {
    setMetadata(run, path, { after, known: before.live });
    if (before.live && before.live.links > 1) run.stamped.set(before.live.ino, after.mtimeNs);
    return;
  }
  putNew(run, path, { after, group: run.plan.groups.get(path) });
  // Changing that file in place would change it there too.
  if (reaches) warn(run, path, "is a file of its own now: other names of it are not part of this");
}

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
    (now.type === "directory" || sameStamps(run, before, now));
  if (!same) throw new Changed("changed while the restore was running; left as it is");
}

function sameStamps(run: Run, before: Entry, now: Entry): boolean {
  const { links = 1, ino = 0n, ctimeNs } = before.live ?? {};
  // What is done to one name of a file moves the stamps under its other names.
  const mtimeNs = links > 1 ? (run.stamped.get(ino) ?? before.mtimeNs) : before.mtimeNs;
  if (before.size !== now.size || mtimeNs !== now.mtimeNs) return false;
  return links > 1 || ctimeNs === now.live?.ctimeNs;
}

function putDirectory(run: Run, { path, before }: Difference, after: Entry): void {
  if (before?.type === "directory") {
    run.finish.set(path, { after, known: before.live });
    return;
  }
  const parent = run.beneath.directory(parentOf(path));
  if (before) unlinkSync(at(parent, nameOf(path)));
  mkdirSync(at(parent, nameOf(path)), { mode: 0o700 });
  run.finish.set(path, { after, known: idAt(run, path) });
}

function finishDirectory(run: Run, path: BytePath): void {
  const entry = run.finish.get(path);
  if (!entry) return;
  try {
    setMetadata(run, path, entry);
  } catch (error) {
    warn(run, path, messageOf(error));
  }
}

/** Empties a directory that something else takes the place of; only what the plan saw in it. */
function removeTree(run: Run, { path }: Difference): void {
  for (const step of run.plan.steps.toReversed()) {
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
