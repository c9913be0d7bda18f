// The list of reactions, by hand.

import type { Reaction } from "../core/reaction.ts";
import { type AlertDeps, createAlert } from "./alert.ts";
import { type CheckpointReactionDeps, createCheckpointReaction } from "./checkpoint.ts";

export function createReactions(deps: AlertDeps & CheckpointReactionDeps): Reaction[] {
  return [createCheckpointReaction(deps), createAlert(deps)];
}
