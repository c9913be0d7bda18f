// The tick: drain, detect, decide, commit in one transaction, answer, then act.

import type { Clock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { Receipt } from "../core/event.ts";
import type { ReactionOrder } from "../core/reaction.ts";
import type { Store } from "../store/store.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Analysis } from "./analysis.ts";
import type { Inbox, InboxEntry } from "./inbox.ts";
import { createJudge, type Judgement } from "./judge.ts";
import { type FreshEvent, numberEvents } from "./numbering.ts";
import type { PolicySettings } from "./policy.ts";

/** Events in one transaction: large enough for batches, small enough that the loop stays responsive. */
const BATCH_MAX = 2_048;
/** How far back detectors are shown the past when they are rebuilt: the widest window of any of them. */
const REBUILD_MS = 3_600_000;

export interface TickDeps {
  inbox: Inbox;
  store: Store;
  analysis: Analysis;
  policy: PolicySettings;
  /** A trouble quiet for longer than this is not loaded as open. */
  quietMs: number;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** Performs orders and records what came of them; must not throw. */
  dispatch(orders: ReactionOrder[]): void;
  publish(type: "event" | "interruption" | "reaction", data: unknown): void;
}

export interface Tick {
  /** Handles what waits, at most one batch. Returns whether more is waiting. */
  run(): boolean;
  /** Shows detectors the stored past again, reactions off: at the start, and after a failed commit. */
  rebuild(): void;
}

export function createTick(deps: TickDeps): Tick {
  const { inbox, store, log, metrics } = deps;
  const judge = createJudge(deps);

  const process = (entries: InboxEntry[]): void => {
    const { fresh, answered } = numberEvents(entries, store);
    for (const { entry, receipt } of answered) answer(entry, receipt);
    if (fresh.length > 0) {
      const judgement = judge(fresh);
      try {
        store.commit(judgement.batch);
      } catch (thrown) {
        recover(fresh, thrown);
        fresh.length = 0;
      }
      if (fresh.length > 0) conclude(fresh, judgement);
    }
    count(metrics, { fresh, answered });
  };

  const conclude = (fresh: FreshEvent[], judgement: Judgement): void => {
    for (const { entry, stored } of fresh) {
      answer(entry, { status: "accepted", id: stored.event.id, seq: stored.event.seq });
      deps.publish("event", stored);
    }
    announce(judgement, deps);
    deps.dispatch(judgement.orders.filter(({ verdict }) => verdict === "perform"));
  };

  /** Nothing of the batch was kept. One bad row must not cost the others theirs, so each is tried alone. */
  const recover = (fresh: FreshEvent[], thrown: unknown): void => {
    metrics.add("observer_commit_failures_total");
    log.error("commit failed", { events: fresh.length, error: messageOf(thrown) });
    rebuild();
    const entries = fresh.map(({ entry }) => entry);
    if (entries.length > 1 && !isStorageTrouble(thrown)) {
      for (const entry of entries) process([entry]);
      return;
    }
    metrics.add("observer_events_rejected_total", entries.length, { reason: "storage" });
    for (const entry of entries) {
      answer(entry, { status: "rejected", code: "storage", reason: messageOf(thrown) });
    }
  };

  const rebuild = (): void => {
    const nowMs = deps.clock.now();
    const past = store.recentEvents(nowMs - REBUILD_MS);
    deps.analysis.rebuild(past, store.openInterruptions(nowMs - deps.quietMs));
  };

  /** A bug in the tick must not leave a caller waiting for ever. */
  const guarded = (entries: InboxEntry[]): void => {
    try {
      process(entries);
    } catch (thrown) {
      log.error("tick failed", { events: entries.length, error: messageOf(thrown) });
      const waiting = entries.filter(({ receipts, index }) => !receipts[index]);
      metrics.add("observer_events_rejected_total", waiting.length, { reason: "lost" });
      for (const entry of waiting) {
        answer(entry, { status: "rejected", code: "storage", reason: "internal error" });
      }
    }
  };

  return {
    run() {
      guarded(inbox.drain(BATCH_MAX));
      return inbox.size() > 0;
    },
    rebuild,
  };
}

function announce({ changes, orders, batch }: Judgement, deps: TickDeps): void {
  for (const { kind, interruption } of changes) {
    if (kind === "opened")
      deps.metrics.add("observer_interruptions_total", 1, { type: interruption.type });
    deps.publish("interruption", { ...interruption });
  }
  for (const { kind, verdict } of orders) {
    if (verdict !== "perform")
      deps.metrics.add("observer_reactions_total", 1, { kind, status: verdict });
  }
  for (const record of batch.reactions) deps.publish("reaction", record);
}

/** Counted once per batch and kind: a label lookup for every event would be felt. */
function count(metrics: Metrics, { fresh, answered }: ReturnType<typeof numberEvents>): void {
  const byKind = new Map<string, number>();
  for (const { stored } of fresh) {
    byKind.set(stored.event.kind, (byKind.get(stored.event.kind) ?? 0) + 1);
  }
  for (const [kind, events] of byKind)
    metrics.add("observer_events_accepted_total", events, { kind });
  if (fresh.length > 0) metrics.add("observer_commits_total");
  for (const { receipt } of answered) {
    if (receipt.status === "duplicate") metrics.add("observer_events_duplicate_total");
    else metrics.add("observer_events_rejected_total", 1, { reason: "conflict" });
  }
}

/** Full disk, I/O error or a lock held by someone else: trying the rows one by one would fail alike. */
function isStorageTrouble(thrown: unknown): boolean {
  const code = (thrown as { code?: unknown }).code;
  return (
    typeof code === "string" && /^SQLITE_(FULL|IOERR|BUSY|LOCKED|READONLY|CANTOPEN)/.test(code)
  );
}

function answer(entry: InboxEntry, receipt: Receipt): void {
  entry.receipts[entry.index] = receipt;
  entry.settle();
}
