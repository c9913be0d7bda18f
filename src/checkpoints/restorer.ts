// Restores: plan, safety checkpoint, occupants, and only then the work.

import type { Checkpoint, RestoreRequest, RestoreResult } from "../core/checkpoint.ts";
import { ObserverError } from "../core/errors.ts";
import { insidePath, type BytePath } from "./byte-path.ts";
import type { Creator } from "./create.ts";
import { whileInUse } from "./in-use.ts";
import { journalPath } from "./journal.ts";
import { signalOccupants, type Occupant } from "./occupants.ts";
import type { Planned, Restored } from "./protocol.ts";
import { usableRow, type ServiceParts } from "./service-parts.ts";

/** A stopped agent must go on within 3 s (contract); the rest is for being late. */
const FREEZE_MS = 2_800;
/** How many paths and processes an error names. */
const NAMED_MAX = 20;

export interface Restorer {
  restore(request: RestoreRequest): Promise<RestoreResult>;
  /** Finishes an interrupted restore: the same work with a safety checkpoint of its own. */
  rollForward(request: { id: string; path: BytePath; journal: string }): Promise<RestoreResult>;
}

interface Job {
  checkpoint: Checkpoint;
  path: BytePath;
  force: boolean;
  freeze: boolean;
  dryRun: boolean;
  /** Of an interrupted restore; absent for a new one. */
  journal?: string;
}

export function createRestorer(parts: ServiceParts, creator: Creator): Restorer {
  const restoreAlone = async (job: Job): Promise<RestoreResult> => {
    const { checkpoint } = job;
    parts.inUse.add(checkpoint.id);
    try {
      return await perform(parts, creator, job);
    } finally {
      parts.inUse.delete(checkpoint.id);
    }
  };
  const exclusively = async (job: Job): Promise<RestoreResult> =>
    await parts.exclusive(job.checkpoint.workspace, async () => await restoreAlone(job));
  return {
    restore: async ({ id, path, dryRun, freeze, force }) =>
      await exclusively({
        checkpoint: usableRow(parts, id),
        path: insidePath(path ?? ""),
        dryRun: dryRun === true,
        freeze: freeze === true,
        force: force === true,
      }),
    rollForward: async ({ id, path, journal }) =>
      await exclusively({
        checkpoint: usableRow(parts, id),
        path,
        dryRun: false,
        freeze: false,
        // Half a restore is worse than an agent that sees files change.
        force: true,
        journal,
      }),
  };
}

async function perform(parts: ServiceParts, creator: Creator, job: Job): Promise<RestoreResult> {
  const started = parts.deps.clock.monotonic();
  const planned = await parts.runner.run({
    op: "plan",
    request: { checkpoint: job.checkpoint, path: job.path, force: job.force },
    deadlineMs: parts.options.storeDeadlineMs,
  });
  const result = (
    rest: Pick<RestoreResult, "status" | "safety_id" | "warnings">,
  ): RestoreResult => ({
    checkpoint_id: job.checkpoint.id,
    workspace: job.checkpoint.workspace,
    changes: planned.changes,
    untouched: planned.untouched,
    duration_ms: Math.round(parts.deps.clock.monotonic() - started),
    ...rest,
  });
  if (job.dryRun) {
    const warnings = [...planned.warnings, ...occupantWarnings(planned)];
    return result({ status: "planned", safety_id: null, warnings });
  }
  if (!job.force && !job.freeze) expectNobody(job, planned);
  const safety = await takeSafety(parts, creator, { job, planned });
  const done = await whileInUse(
    parts.inUse,
    safety ? [safety.id] : [],
    async () =>
      await frozen(parts, job.freeze ? planned.occupants : [], async () => {
        return await apply(parts, job, safety);
      }),
  );
  const warnings = [...done.warnings, ...(job.freeze ? [] : occupantWarnings(planned))];
  parts.deps.log.info("checkpoint restored", {
    id: job.checkpoint.id,
    workspace: job.checkpoint.workspace,
    safety: safety?.id,
    files: done.files,
    bytes: done.bytes,
    residual: done.residual.length,
  });
  expectNoResidual(job, done, safety);
  return result({
    status: "done",
    safety_id: safety?.id ?? null,
    warnings: [...warnings, ...done.residual.map((change) => `still different: ${change.path}`)],
  });
}

function expectNobody({ checkpoint }: Job, { occupants }: Planned): void {
  if (occupants.length === 0) return;
  throw new ObserverError(
    "occupied",
    `Cannot restore ${checkpoint.workspace}: ${occupants.length} live processes work in it (${occupants
      .slice(0, NAMED_MAX)
      .map(({ pid, command }) => `${pid} ${command}`)
      .join(", ")})`,
    { detail: { pids: occupants.map(({ pid }) => pid), hint: "freeze or force" } },
  );
}

function occupantWarnings({ occupants }: Planned): string[] {
  return occupants.map(({ pid, command }) => `process ${pid} (${command}) works in the tree`);
}

/** Verified, or the restore stops; whether it holds everything that will change is checked by the helper. */
async function takeSafety(
  { deps }: ServiceParts,
  creator: Creator,
  { job, planned }: { job: Job; planned: Planned },
): Promise<Checkpoint | null> {
  // Nothing of what is there is touched, so there is nothing to keep.
  if (planned.touched.length === 0 || planned.missing) return null;
  const safety = await creator.createAlone(
    {
      workspace: job.checkpoint.workspace,
      kind: "safety",
      reason: `before restore of ${job.checkpoint.id}`,
    },
    planned.touched,
  );
  if ((safety.status === "ok" || safety.status === "partial") && safety.verified) return safety;
  deps.log.warn("restore stopped: no safety checkpoint", { id: job.checkpoint.id });
  throw new ObserverError(
    "failed",
    `Cannot restore ${job.checkpoint.workspace}: no safety checkpoint could be taken (${safety.status}: ${safety.error ?? "not verified"})`,
    { detail: { safety_id: safety.id } },
  );
}

async function apply(
  { runner, options, deps }: ServiceParts,
  job: Job,
  safety: Checkpoint | null,
): Promise<Restored> {
  const { checkpoint, path, force } = job;
  return await runner.run({
    op: "apply",
    request: {
      checkpoint,
      path,
      force,
      safety,
      journal:
        job.journal ?? journalPath(options.directory, `${checkpoint.id}-${safety?.id ?? "none"}`),
      startedMs: deps.clock.now(),
    },
    deadlineMs: options.restoreDeadlineMs,
  });
}

/** Stops the processes for the time of `work`, never longer than the cap: a guard outlives us to make sure. */
async function frozen<T>(
  { runner }: ServiceParts,
  occupants: Occupant[],
  work: () => Promise<T>,
): Promise<T> {
  if (occupants.length === 0) return await work();
  const guard = new AbortController();
  const guarded = runner
    .run({
      op: "thaw",
      request: { occupants, afterMs: FREEZE_MS },
      deadlineMs: FREEZE_MS * 2,
      signal: guard.signal,
    })
    // Ended by us below; the thaw is done by then.
    .catch(() => undefined);
  signalOccupants(occupants, "SIGSTOP");
  try {
    return await work();
  } finally {
    signalOccupants(occupants, "SIGCONT");
    guard.abort();
    await guarded;
  }
}

function expectNoResidual(job: Job, done: Restored, safety: Checkpoint | null): void {
  if (done.residual.length === 0 || job.force) return;
  throw new ObserverError(
    "partial",
    `Restored ${job.checkpoint.workspace}, but ${done.residual.length} paths still differ`,
    {
      detail: {
        safety_id: safety?.id ?? null,
        residual: done.residual.slice(0, NAMED_MAX),
        warnings: done.warnings.slice(0, NAMED_MAX),
      },
    },
  );
}
