// The helper's operations that save, compare and check; those that restore are in restore.ts.

import { existsSync } from "node:fs";
import { setPriority } from "node:os";
import { dirname } from "node:path";
import type { Change, Checkpoint, VerifyResult } from "../core/checkpoint.ts";
import { systemClock } from "../core/clock.ts";
import { ObserverError } from "../core/errors.ts";
import type { Backend, OpenCheckpoint, Removed, Saved } from "./backend.ts";
import type { BytePath } from "./byte-path.ts";
import { backendNamed, createBackends } from "./catalog.ts";
import { changesOf } from "./changes.ts";
import { compareTrees, type CompareOptions } from "./diff.ts";
import { noteDeletions } from "./deletion-notes.ts";
import { createLiveTree } from "./live-tree.ts";
import type { HelperContext, Inspection, Operations } from "./protocol.ts";
import type { Rules } from "./rules.ts";
import { spaceOf, usedBytes } from "./space.ts";
import { storeIn } from "./store/layout.ts";
import { mendIndex } from "./store/rebuild.ts";
import { isNoSpace, spendReserve } from "./store/reserve.ts";
import { diffText } from "./text-diff.ts";
import type { TreeReader } from "./tree.ts";
import { identityOf, resolveWorkspace } from "./workspace.ts";

/** Lowest CPU priority; Linux derives a low disk priority from it. */
const BACKGROUND_NICE = 19;

const NS_PER_MS = 1_000_000n;
/** See RACY_NS of the store: stamps this close to the snapshot prove nothing. */
const RACY_MS = 1_000;

export function backendsOf(context: HelperContext): Backend[] {
  return createBackends({
    directory: context.directory,
    lockWaitMs: context.lockWaitMs,
    now: () => systemClock.now(),
  });
}

export function inspect(
  context: HelperContext,
  request: Operations["inspect"]["request"],
): Inspection {
  const workspace = resolveWorkspace(request.workspace, context);
  const reasons: string[] = [];
  for (const backend of backendsOf(context)) {
    const { usable, reason } = backend.detect(workspace);
    reasons.push(`${backend.name}: ${reason}`);
    if (usable)
      return {
        workspace: workspace.path,
        identity: workspace.identity,
        backend: backend.name,
        reason: reasons.join("; "),
      };
  }
  throw new ObserverError("unsupported", `No backend can save it: ${reasons.join("; ")}`);
}

export function create(context: HelperContext, request: Operations["create"]["request"]): Saved {
  if (request.background) setPriority(BACKGROUND_NICE);
  const workspace = resolveWorkspace(request.workspace, context);
  return backendNamed(backendsOf(context), request.backend).create({
    id: request.id,
    workspace,
    rules: request.rules,
    include: new Set(request.include),
    keepFreeBytes: request.keepFreeBytes,
  });
}

/** All of one backend, so that the store is swept once. */
export function remove(
  context: HelperContext,
  { checkpoints, background, thorough }: Operations["delete"]["request"],
): Removed {
  if (background) setPriority(BACKGROUND_NICE);
  const [first] = checkpoints;
  if (!first) return { warnings: [], freedBytes: 0 };
  note(context.directory, checkpoints);
  return backendNamed(backendsOf(context), first.backend).delete(checkpoints, { thorough });
}

function note(directory: string, checkpoints: Checkpoint[]): void {
  const ids = checkpoints.map(({ id }) => id);
  try {
    noteDeletions(directory, ids);
  } catch (error) {
    if (!isNoSpace(error)) throw error;
    // On a full disk deleting comes first: the note only matters if we are killed within this moment.
    if (!spendReserve(storeIn(directory))) return;
    noteDeletions(directory, ids);
  }
}

export function verify(
  context: HelperContext,
  { checkpoint, background, bytesPerSecond }: Operations["verify"]["request"],
): VerifyResult {
  if (background) setPriority(BACKGROUND_NICE);
  return backendNamed(backendsOf(context), checkpoint.backend).verify(checkpoint, {
    ...(bytesPerSecond !== undefined && { bytesPerSecond }),
  });
}

export function mend(
  context: HelperContext,
  request: Operations["mend"]["request"],
): Operations["mend"]["answer"] {
  return { rebuilt: mendIndex(storeIn(context.directory), request, context.lockWaitMs) };
}

export function space(
  context: HelperContext,
  { path }: Operations["space"]["request"],
): Operations["space"]["answer"] {
  const store = storeIn(context.directory);
  // A snapshot's own directory may be gone by now; what is around it lies on the same file system.
  const at = path ?? context.directory;
  return {
    ...spaceOf(existsSync(at) ? at : dirname(at)),
    usedBytes: path === null ? usedBytes(store) : 0,
  };
}

export function exists(
  context: HelperContext,
  { checkpoint }: Operations["exists"]["request"],
): Operations["exists"]["answer"] {
  // The backend of a checkpoint that never answered is the one that was tried last.
  for (const backend of backendsOf(context)) {
    if (backend.name !== checkpoint.backend) continue;
    return { saved: backend.exists(checkpoint) ?? null };
  }
  return { saved: null };
}

export function diff(
  context: HelperContext,
  { path, ...job }: Operations["diff"]["request"],
): Operations["diff"]["answer"] {
  return compared(context, job, (trees) => {
    const options = { ...trees, path, ...(job.to ? {} : sameFileSystem(job.checkpoint)) };
    return { changes: told(options) };
  });
}

export function text(
  context: HelperContext,
  { path, ...job }: Operations["text"]["request"],
): Operations["text"]["answer"] {
  return compared(context, job, (trees) => diffText(path, trees));
}

/** Opens a checkpoint and what it is compared with, another one or the living workspace. */
function compared<T>(
  context: HelperContext,
  { checkpoint, to }: { checkpoint: Checkpoint; to: Checkpoint | null },
  look: (trees: { before: TreeReader; after: TreeReader }) => T,
): T {
  const backends = backendsOf(context);
  const before = openCheckpoint(backends, checkpoint);
  const after = to ? openCheckpoint(backends, to) : openLive(backends, checkpoint, before.rules);
  try {
    return look({ before: before.tree, after: after.tree });
  } finally {
    before.tree.close();
    after.tree.close();
  }
}

function told(options: CompareOptions): Change[] {
  return changesOf(compareTrees(options).differences, options);
}

/** A btrfs snapshot keeps inode numbers and change times, which spares reading what is equal. */
export function sameFileSystem(
  checkpoint: Checkpoint,
): Pick<CompareOptions, "sameFileSystem" | "racyAfterNs"> {
  if (checkpoint.backend !== "btrfs") return {};
  return {
    sameFileSystem: true,
    racyAfterNs: BigInt(Math.floor(checkpoint.createdMs) - RACY_MS) * NS_PER_MS,
  };
}

export function openCheckpoint(backends: Backend[], checkpoint: Checkpoint): OpenCheckpoint {
  return backendNamed(backends, checkpoint.backend).open(checkpoint);
}

/** The living workspace, judged by the rules of the checkpoint. */
export function openLive(
  backends: Backend[],
  checkpoint: Checkpoint,
  rules: Rules,
): { tree: TreeReader } {
  const known = backends
    .find((backend) => backend.name === "store")
    ?.knownContent?.(checkpoint.workspace);
  const tree = createLiveTree({
    path: checkpoint.workspace,
    rules,
    ...(known && { known: (path: BytePath, entry) => known.find(path, entry) }),
  });
  return {
    tree: {
      ...tree,
      close() {
        tree.close();
        known?.close();
      },
    },
  };
}

/** Throws unless the directory is the one that was saved. */
export function expectIdentity(checkpoint: Checkpoint, force: boolean): void {
  const now = identityOf(checkpoint.workspace);
  if (checkpoint.identity === null || checkpoint.identity === now || force) return;
  throw new ObserverError(
    "identity_changed",
    `Cannot restore ${checkpoint.workspace}: it is another directory than the one that was saved`,
    { detail: { saved: checkpoint.identity, now, hint: "force restores into it all the same" } },
  );
}
