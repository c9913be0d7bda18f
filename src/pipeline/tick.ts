// The tick: drain, detect, decide, commit in one transaction, answer, then act.

import type { Clock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { Receipt } from "../core/event.ts";
import type { ReactionOrder } from "../core/reaction.ts";
import type { Store } from "../store/store.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Analysis } from "./analysis.ts";
import { type Answer, createAnswers } from "./answers.ts";
import type { Inbox, InboxEntry } from "./inbox.ts";
import { createJudge, type JudgeDeps, type Judgement } from "./judge.ts";
import { type FreshEvent, numberEvents } from "./numbering.ts";
import type { PolicySettings } from "./policy.ts";

/** Events in one transaction: large enough for batches, small enough that the loop stays responsive. */
const BATCH_MAX = 2_048;
/** Events gathered while a sync is under way; more are committed at once, so that detection is not held up. */
const GATHER_MAX = 256;
/** How far back detectors are shown the past when they are rebuilt: the widest window of any of them. */
const REBUILD_MS = 3_600_000;
/** At most so many of them, some 200 ms: a flood before the restart must not hold the start up. */
const REBUILD_EVENTS_MAX = 50_000;

export interface TickDeps {
  inbox: Inbox;
  store: Store;
  analysis: Analysis;
  policy: PolicySettings;
  isArmed: JudgeDeps["isArmed"];
  /** A trouble quiet for longer than this is not loaded as open. */
  quietMs: number;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** Called when more may be run: a wait for the disk is over. */
  resume: () => void;
  /** Performs orders and records what came of them; must not throw. */
  dispatch(orders: ReactionOrder[]): void;
  publish(type: "event" | "interruption" | "reaction", data: unknown): void;
}

export interface Tick {
  /** Handles what waits, at most one batch. Returns whether more is waiting. */
  run(): boolean;
  /** Handles all that waits; resolves when every answer is given. */
  finish(): Promise<void>;
  /** Shows detectors the stored past again, reactions off: at the start, and after a failed commit. */
  rebuild(): void;
  /** See `Judge`. */
  isDebounced(workspace: string): boolean;
}

export function createTick(deps: TickDeps): Tick {
  const { inbox, store, log, metrics } = deps;
  const { judge, isDebounced } = createJudge(deps);
  const answers = createAnswers(deps);

  const process = (entries: InboxEntry[]): void => {
    const { fresh, answered } = numberEvents(entries, store);
    if (fresh.length > 0 && !keep(fresh)) {
      // What they repeat may be among the events that were not kept, so they are looked at again.
      if (answered.length > 0) process(answered.map(({ entry }) => entry));
      return;
    }
    count(metrics, { fresh, answered });
    answers.whenDurable([...answered, ...fresh.map(accepted)], fresh.length);
  };

  /** Commits what is new with all that follows from it. False when it could not be kept; then all are answered. */
  const keep = (fresh: FreshEvent[]): boolean => {
    const judgement = judge(fresh);
    try {
      store.commit(judgement.batch);
    } catch (thrown) {
      recover(fresh, thrown);
      return false;
    }
    for (const { stored } of fresh) deps.publish("event", stored);
    announce(judgement, deps);
    deps.dispatch(judgement.orders.filter(({ verdict }) => verdict === "perform"));
    return true;
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
    const receipt: Receipt = { status: "rejected", code: "storage", reason: messageOf(thrown) };
    answers.now(entries.map((entry) => ({ entry, receipt })));
  };

  const rebuild = (): void => {
    const nowMs = deps.clock.now();
    const past = store.recentEvents(nowMs - REBUILD_MS, REBUILD_EVENTS_MAX);
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
      const receipt: Receipt = { status: "rejected", code: "storage", reason: "internal error" };
      answers.now(waiting.map((entry) => ({ entry, receipt })));
    }
  };

  return {
    run() {
      // Events that came during a sync are committed together after it: one sync for all of them, and none
      // of them could have been answered sooner.
      if (answers.waiting() && inbox.size() < GATHER_MAX) return false;
      guarded(inbox.drain(BATCH_MAX));
      return inbox.size() > 0;
    },
    async finish() {
      while (inbox.size() > 0) guarded(inbox.drain(BATCH_MAX));
      await answers.synced();
    },
    rebuild,
    isDebounced,
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

function accepted({ entry, stored: { event } }: FreshEvent): Answer {
  return { entry, receipt: { status: "accepted", id: event.id, seq: event.seq } };
}
