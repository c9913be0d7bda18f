// The helper's operations that plan a restore and carry it out.

import { lstatSync, mkdirSync, realpathSync } from "node:fs";
import type { Change, Checkpoint } from "../core/checkpoint.ts";
import { messageOf, ObserverError } from "../core/errors.ts";
import { applyPlan, type Applied } from "./apply.ts";
import type { Backend, OpenCheckpoint } from "./backend.ts";
import { parentOf, shown, type BytePath } from "./byte-path.ts";
import { changesOf } from "./changes.ts";
import { compareTrees, type Difference } from "./diff.ts";
import { findEntry } from "./find-entry.ts";
import { readJournal, removeJournal, writeJournal } from "./journal.ts";
import { occupantsOf, startTicksOf } from "./occupants.ts";
import {
  backendsOf,
  expectIdentity,
  openCheckpoint,
  openLive,
  sameFileSystem,
} from "./operations.ts";
import { planRestore, type Plan } from "./plan.ts";
import type { HelperContext, Operations, Planned, Restored, RestoreJob } from "./protocol.ts";
import { bytesNeeded, expectRoom } from "./room.ts";
import type { Entry, TreeReader } from "./tree.ts";

/** Who started this process; another one takes its place when that ends. */
const PARENT = process.ppid;

interface Opened {
  backends: Backend[];
  saved: OpenCheckpoint;
  live: { tree: TreeReader };
  plan: Plan;
  close(): void;
}

export function plan(context: HelperContext, job: RestoreJob): Planned {
  const missing = !expectWorkspace(job.checkpoint, job.force);
  const opened = openPlan(context, job);
  const { live, saved, plan } = opened;
  try {
    if (job.path !== "" && plan.steps.length === 0) {
      expectCovered(saved.tree, job.path);
      expectKnown(job, [saved.tree, live.tree]);
    }
    return {
      changes: changesOf(plan.steps, { before: live.tree, after: saved.tree }),
      untouched: plan.untouched.length,
      touched: plan.steps.filter((step) => step.before).map((step) => step.path),
      missing,
      occupants: occupantsOf(job.checkpoint.workspace),
      warnings: plan.warnings,
    };
  } finally {
    opened.close();
  }
}

export function apply(context: HelperContext, job: Operations["apply"]["request"]): Restored {
  if (!expectWorkspace(job.checkpoint, job.force))
    mkdirSync(job.checkpoint.workspace, { mode: 0o700 });
  const opened = openPlan(context, job);
  try {
    const { warnings, ...applied } = carryOut(opened, job);
    const residual = remaining(context, job);
    removeJournal(job.journal);
    return { ...applied, warnings, residual };
  } finally {
    opened.close();
  }
}

function carryOut(opened: Opened, job: Operations["apply"]["request"]): Applied {
  const warnings = [...opened.plan.warnings];
  if (!job.force) expectReadable(opened);
  if (job.safety) warnings.push(...keepToSafety(opened, job.safety));
  const needed = bytesNeeded(opened.plan, opened.saved.tree);
  expectRoom(job.checkpoint.workspace, { needed, force: job.force });
  begin(job);
  const applied = applyPlan({
    target: job.checkpoint.workspace,
    tree: opened.saved.tree,
    plan: opened.plan,
  });
  return { ...applied, warnings: [...warnings, ...applied.warnings] };
}

/** From here on a restart finishes the restore. Throws `failed` when nobody waits for it any more. */
function begin(job: Operations["apply"]["request"]): void {
  // An observer that was killed is followed by another one, which knows of nothing that has not begun.
  if (process.ppid !== PARENT)
    throw new ObserverError("failed", "Observer ended before the restore began");
  const worker = { pid: process.pid, startTicks: startTicksOf(process.pid) ?? 0 };
  const fresh = {
    checkpointId: job.checkpoint.id,
    path: job.path,
    force: job.force,
    safetyId: job.safety?.id ?? null,
    startedMs: job.startedMs,
    attempts: 0,
  };
  // One that is there already names the first safety checkpoint, which is the one that counts.
  writeJournal(job.journal, { ...(readJournal(job.journal) ?? fresh), worker });
}

/** What still differs: the same plan, made again. */
function remaining(context: HelperContext, job: RestoreJob): Change[] {
  const { live, saved, plan, close } = openPlan(context, job);
  try {
    return changesOf(plan.steps, { before: live.tree, after: saved.tree });
  } finally {
    close();
  }
}

function openPlan(context: HelperContext, { checkpoint, path }: RestoreJob): Opened {
  const backends = backendsOf(context);
  const saved = openCheckpoint(backends, checkpoint);
  const live = lstatSync(checkpoint.workspace, { throwIfNoEntry: false })
    ? openLive(backends, checkpoint, saved.rules)
    : { tree: createEmptyTree(saved.tree.self) };
  const plan = planRestore({
    before: live.tree,
    after: saved.tree,
    path,
    asRoot: process.geteuid?.() === 0,
    ...sameFileSystem(checkpoint),
  });
  return {
    backends,
    saved,
    live,
    plan,
    close() {
      saved.tree.close();
      live.tree.close();
    },
  };
}

/** Throws unless the workspace is there as it was saved. False when it is gone and may be made again. */
function expectWorkspace(checkpoint: Checkpoint, force: boolean): boolean {
  const { workspace } = checkpoint;
  const stat = lstatSync(workspace, { throwIfNoEntry: false });
  if (!stat) {
    if (!force)
      throw new ObserverError("vanished", `Cannot restore ${workspace}: it is gone`, {
        detail: { hint: "force makes it again; or restore to another directory" },
      });
    return false;
  }
  if (!stat.isDirectory() || realpathSync(workspace) !== workspace)
    throw new ObserverError(
      "identity_changed",
      `Cannot restore ${workspace}: it is now a file or is reached through a symlink`,
    );
  expectIdentity(checkpoint, force);
  return true;
}

/** What a directory that is not there holds. */
function createEmptyTree(self: Entry): TreeReader {
  return {
    self,
    exact: true,
    root: () => ({ entries: [], enter: () => undefined, close: () => undefined }),
    content: () => [],
    contentHash: () => "",
    attributes: () => [],
    holes: () => [],
    links: () => undefined,
    uncovered: () => undefined,
    close: () => undefined,
  };
}

/** A path that was never there is a slip of the hand, not a restore of nothing. */
function expectKnown({ path, checkpoint }: RestoreJob, trees: TreeReader[]): void {
  if (trees.some((tree) => findEntry(tree, path))) return;
  throw new ObserverError(
    "not_found",
    `Cannot restore ${shown(path).path}: neither checkpoint ${checkpoint.id} nor the workspace has it`,
  );
}

function expectCovered(tree: TreeReader, path: BytePath): void {
  const reason = tree.uncovered(path);
  if (reason === undefined) return;
  throw new ObserverError(
    "not_found",
    `Cannot restore ${shown(path).path}: the checkpoint does not hold it (${reason})`,
  );
}

/** Everything that will be written is read once before anything is touched. */
function expectReadable({ saved, plan }: Opened): void {
  const broken: string[] = [];
  for (const { path, before, after, what } of plan.steps) {
    if (after?.type !== "file" || (before?.type === "file" && !what.includes("content"))) continue;
    try {
      for (const piece of saved.tree.content(path, after)) void piece;
    } catch (error) {
      broken.push(`${shown(path).path}: ${messageOf(error)}`);
    }
  }
  if (broken.length > 0)
    throw new ObserverError("corrupt", `Cannot restore: ${broken.length} files are damaged`, {
      detail: { problems: broken, hint: "force restores everything else" },
    });
}

/** Paths that a message names; its detail has all. */
const PATHS_NAMED = 5;

/**
 * Keeps the plan to what the safety checkpoint holds exactly. Throws `partial` when it left out something that
 * the plan touches; what changed since it was taken is dropped from the plan, with a warning for each.
 */
function keepToSafety({ backends, live, plan }: Opened, safety: Checkpoint): string[] {
  const { tree } = openCheckpoint(backends, safety);
  const { differences, untouched } = compareTrees({
    before: live.tree,
    after: tree,
    ...sameFileSystem(safety),
  });
  tree.close();
  const left = new Set(untouched);
  const missing = plan.steps.filter((step) => step.before && isBelowAny(step.path, left));
  if (missing.length > 0) {
    const paths = missing.map((step) => shown(step.path).path);
    const named =
      paths.slice(0, PATHS_NAMED).join(", ") + (paths.length > PATHS_NAMED ? ", …" : "");
    throw new ObserverError(
      "partial",
      `Cannot restore: the safety checkpoint ${safety.id} does not hold what would change: ${named}`,
      { detail: { safety_id: safety.id, paths } },
    );
  }
  const moved = new Set(differences.filter(isNews).map((difference) => difference.path));
  const warnings: string[] = [];
  plan.steps = plan.steps.filter((step) => {
    if (!moved.has(step.path)) return true;
    warnings.push(`${shown(step.path).path}: changed after the safety checkpoint; left as it is`);
    return false;
  });
  return warnings;
}

function isBelowAny(path: BytePath, tops: ReadonlySet<BytePath>): boolean {
  for (let at = path; at !== ""; at = parentOf(at)) if (tops.has(at)) return true;
  return false;
}

function isNews({ before, after, what }: Difference): boolean {
  return before?.type !== "directory" || after?.type !== "directory" || what.includes("type");
}
