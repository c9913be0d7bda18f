// What a batch of events means: the interruptions it opens or changes, and the reactions that policy orders.

import type { Clock } from "../core/clock.ts";
import { newId } from "../core/ids.ts";
import type { Interruption } from "../core/interruption.ts";
import type { ReactionOrder, ReactionRecord } from "../core/reaction.ts";
import type { CommitBatch } from "../store/store.ts";
import type { Analysis } from "./analysis.ts";
import type { Change } from "./interruptions.ts";
import type { FreshEvent } from "./numbering.ts";
import { decide, type PolicySettings } from "./policy.ts";

/** All that one batch is about to write, tell and do. */
export interface Judgement {
  batch: CommitBatch;
  orders: ReactionOrder[];
  changes: Change[];
}

export function createJudge(deps: { analysis: Analysis; policy: PolicySettings; clock: Clock }) {
  const { analysis, policy, clock } = deps;
  const lastCheckpointMs = new Map<string, number>();

  const order = (interruption: Interruption): ReactionOrder[] => {
    const nowMs = clock.monotonic();
    const verdicts = decide(interruption, {
      settings: policy,
      history: { lastCheckpointMs, nowMs },
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

  return (fresh: FreshEvent[]): Judgement => {
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
