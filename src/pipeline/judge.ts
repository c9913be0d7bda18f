// What a batch of events means: the interruptions it opens or changes, and the reactions that policy orders.

import type { Clock } from "../core/clock.ts";
import { newId } from "../core/ids.ts";
import type { Interruption } from "../core/interruption.ts";
import type { ReactionOrder, ReactionRecord } from "../core/reaction.ts";
import type { CommitBatch } from "../store/store.ts";
import type { Analysis } from "./analysis.ts";
import type { Change } from "./interruptions.ts";
import type { FreshEvent } from "./numbering.ts";
import { debouncedForMs, decide, type PolicySettings } from "./policy.ts";

/** All that one batch is about to write, tell and do. */
export interface Judgement {
  batch: CommitBatch;
  orders: ReactionOrder[];
  changes: Change[];
}

export interface JudgeDeps {
  analysis: Analysis;
  policy: PolicySettings;
  /** Whether this interruption may order a checkpoint: settings allow it for all, a person for this agent. */
  isArmed(interruption: Interruption): boolean;
  clock: Clock;
}

export interface Judge {
  judge(fresh: FreshEvent[]): Judgement;
  /** True when a checkpoint of this workspace would be suppressed now, because one was begun a moment ago. */
  isDebounced(workspace: string): boolean;
}

export function createJudge(deps: JudgeDeps): Judge {
  const { analysis, policy, clock } = deps;
  const lastCheckpointMs = new Map<string, number>();

  const order = (interruption: Interruption): ReactionOrder[] => {
    const nowMs = clock.monotonic();
    const verdicts = decide(interruption, {
      settings: policy,
      history: { lastCheckpointMs, nowMs },
      armed: deps.isArmed(interruption),
    });
    return verdicts.map((verdict) => {
      // The attempt counts, not its success: a failing checkpoint must not be tried at every event.
      if (
        verdict.kind === "checkpoint" &&
        verdict.verdict === "perform" &&
        interruption.workspace
      ) {
        lastCheckpointMs.set(interruption.workspace, nowMs);
      }
      return { id: newId(), interruption, ...verdict };
    });
  };

  const judge = (fresh: FreshEvent[]): Judgement => {
    const opened = new Set<Interruption>();
    const changed = new Set<Interruption>();
    const changes: Change[] = [];
    const orders: ReactionOrder[] = [];
    for (const { entry, stored } of fresh) {
      for (const change of analysis.observe(stored.event)) {
        const { interruption, kind } = change;
        if (kind === "opened") opened.add(interruption);
        else if (!opened.has(interruption)) changed.add(interruption);
        changes.push(change);
        const news = kind === "opened" || kind === "escalated";
        if (news && !entry.prepared.imported) orders.push(...order(interruption));
      }
    }
    const batch = {
      events: fresh.map(({ stored }) => stored),
      openedInterruptions: [...opened],
      changedInterruptions: [...changed],
      reactions: orders.map((it) => toRecord(it, clock.now())),
    };
    return { batch, orders, changes };
  };

  return {
    judge,
    isDebounced(workspace) {
      const history = { lastCheckpointMs, nowMs: clock.monotonic() };
      return debouncedForMs(workspace, { settings: policy, history }) !== null;
    },
  };
}

/** The row of an order: finished for what is not performed, pending for the rest. */
export function toRecord(order: ReactionOrder, nowMs: number): ReactionRecord {
  const { id, kind, verdict, reason, interruption } = order;
  return {
    id,
    interruptionId: interruption.id,
    host: interruption.host,
    kind,
    status: verdict === "perform" ? "pending" : verdict,
    reason,
    workspace: interruption.workspace,
    sessionId: interruption.sessionId,
    startedMs: nowMs,
    durationMs: verdict === "perform" ? null : 0,
    detail: {},
  };
}
