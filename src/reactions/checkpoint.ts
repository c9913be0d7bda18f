// Saves the workspace of an interruption.

import type { Checkpoint, CheckpointService } from "../core/checkpoint.ts";
import type { Interruption } from "../core/interruption.ts";
import type { Reaction, ReactionOutcome } from "../core/reaction.ts";
import { wholeMicroseconds } from "../core/units.ts";

/** Lets the agent go on. How long it was stopped, and how; null when it was not stopped. */
export type ReleaseFreeze = () => { frozenMs: number; method: string } | null;

export interface CheckpointReactionDeps {
  checkpoints: CheckpointService;
  /** The service's own deadline is shorter and says more; this one only catches a service that hangs. */
  checkpointDeadlineMs: number;
  /** Takes over the freeze of the interruption's agent until the checkpoint is complete; null when there is nothing to hold. */
  holdFreeze?(interruption: Interruption): ReleaseFreeze | null;
}

export function createCheckpointReaction(deps: CheckpointReactionDeps): Reaction {
  return {
    kind: "checkpoint",
    deadlineMs: deps.checkpointDeadlineMs,
    async perform({ interruption }) {
      // Before anything is awaited: a freeze that nobody holds is ended within milliseconds.
      const release = deps.holdFreeze?.(interruption) ?? null;
      try {
        const outcome = await save(interruption, deps);
        return { ...outcome, detail: { ...outcome.detail, ...frozenDetail(release?.()) } };
      } finally {
        release?.();
      }
    },
  };
}

async function save(
  interruption: Interruption,
  { checkpoints }: CheckpointReactionDeps,
): Promise<ReactionOutcome> {
  const { workspace, sessionId, agent } = interruption;
  if (workspace === null) {
    return { status: "failed", reason: "no workspace is configured", detail: {} };
  }
  const checkpoint = await checkpoints.create({
    workspace,
    kind: "auto",
    reason: interruption.type,
    interruptionId: interruption.id,
    ...(sessionId === null ? {} : { sessionId }),
    ...(agent === null ? {} : { agent }),
  });
  return outcomeOf(checkpoint);
}

function frozenDetail(frozen: ReturnType<ReleaseFreeze> | undefined): Record<string, unknown> {
  if (!frozen) return {};
  return { frozen_ms: wholeMicroseconds(frozen.frozenMs), freeze_method: frozen.method };
}

function outcomeOf(checkpoint: Checkpoint): ReactionOutcome {
  const { id, status, backend, verified, error } = checkpoint;
  const detail = { checkpoint_id: id, backend, verified, checkpoint_status: status };
  if (status === "unknown") {
    return { status: "timed_out", reason: error ?? "its outcome is not known yet", detail };
  }
  if ((status === "ok" || status === "partial") && verified) {
    return {
      status: "done",
      reason: `checkpoint ${id} is ${status} and verified`,
      detail,
      checkpoint,
    };
  }
  return { status: "failed", reason: error ?? `checkpoint ${id} is ${status}`, detail };
}
