// Saves the workspace of an interruption.

import type { Checkpoint, CheckpointService } from "../core/checkpoint.ts";
import type { Reaction, ReactionOutcome } from "../core/reaction.ts";

export interface CheckpointReactionDeps {
  checkpoints: CheckpointService;
  /** The service's own deadline is shorter and says more; this one only catches a service that hangs. */
  checkpointDeadlineMs: number;
}

export function createCheckpointReaction(deps: CheckpointReactionDeps): Reaction {
  return {
    kind: "checkpoint",
    deadlineMs: deps.checkpointDeadlineMs,
    async perform({ interruption }) {
      const { workspace, sessionId, agent } = interruption;
      if (workspace === null) {
        return { status: "failed", reason: "no workspace is configured", detail: {} };
      }
      const checkpoint = await deps.checkpoints.create({
        workspace,
        kind: "auto",
        reason: interruption.type,
        interruptionId: interruption.id,
        ...(sessionId === null ? {} : { sessionId }),
        ...(agent === null ? {} : { agent }),
      });
      return outcomeOf(checkpoint);
    },
  };
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
