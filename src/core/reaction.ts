// The reaction: what policy orders about an interruption, and what came of it.

import type { Checkpoint } from "./checkpoint.ts";
import type { Interruption } from "./interruption.ts";

export const REACTION_KINDS = ["alert", "checkpoint"] as const;
export type ReactionKind = (typeof REACTION_KINDS)[number];

/** `pending` is shown only while it is being performed; it ends as one of the others. */
export const REACTION_STATUSES = [
  "pending",
  "done",
  "failed",
  "suppressed",
  "timed_out",
  "dry_run",
] as const;
export type ReactionStatus = (typeof REACTION_STATUSES)[number];

/** Policy's verdict: perform it, or say why not. Both are recorded. */
export interface ReactionOrder {
  id: string;
  kind: ReactionKind;
  interruption: Interruption;
  verdict: "perform" | "suppressed" | "dry_run";
  /** Why policy decided so, one sentence. */
  reason: string;
}

export interface ReactionOutcome {
  status: Exclude<ReactionStatus, "pending" | "suppressed" | "dry_run">;
  reason: string;
  detail: Record<string, unknown>;
  checkpoint?: Checkpoint;
}

/** One kind of reaction. `perform` must settle by itself within `deadlineMs` or react to `signal`. */
export interface Reaction {
  readonly kind: ReactionKind;
  readonly deadlineMs: number;
  perform(order: ReactionOrder, signal: AbortSignal): Promise<ReactionOutcome>;
}

export interface ReactionRecord {
  id: string;
  interruptionId: string;
  host: string;
  kind: ReactionKind;
  status: ReactionStatus;
  reason: string;
  workspace: string | null;
  sessionId: string | null;
  startedMs: number;
  durationMs: number | null;
  detail: Record<string, unknown>;
}
