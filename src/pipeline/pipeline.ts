// The pipeline as one thing: drafts go in, receipts come out when they are committed.

import type { Clock } from "../core/clock.ts";
import type { Detector, Offer } from "../core/contracts.ts";
import { newId } from "../core/ids.ts";
import type { Interruption } from "../core/interruption.ts";
import type { Reaction, ReactionRecord } from "../core/reaction.ts";
import type { StoredEvent } from "../store/event-rows.ts";
import type { Store } from "../store/store.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { createAnalysis } from "./analysis.ts";
import { createDispatch } from "./dispatch.ts";
import { createInbox, type Inbox, type InboxLimits } from "./inbox.ts";
import { createPace } from "./pace.ts";
import type { PolicySettings } from "./policy.ts";
import { createPrepare, type PrepareDeps } from "./prepare.ts";
import { createTick, type Tick } from "./tick.ts";
import type { WorkspaceFacts } from "./workspaces.ts";

export interface PipelineOptions {
  host: string;
  limits: InboxLimits;
  policy: PolicySettings;
  /** How long a trouble may be quiet and still be the same one. */
  quietMs: number;
  workspaceOf: (facts: WorkspaceFacts) => string | null;
}

export interface PipelineDeps {
  store: Store;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  redact: PrepareDeps["redact"];
  createDetectors: () => Detector[];
  reactions: readonly Reaction[];
  /** Whether an interruption may order a checkpoint; absent: as `policy.checkpointEnabled` says for all. */
  isArmed?(interruption: Interruption): boolean;
  publish(type: "event" | "interruption" | "reaction", data: unknown): void;
}

export interface Pipeline {
  offer: Offer;
  full(): boolean;
  resolve(id: string): Interruption | null;
  /** True when an automatic checkpoint of this workspace would be suppressed now, because one was begun a moment ago. */
  isDebounced(workspace: string): boolean;
  /** Finishes what waits, then waits for reactions under way, at most `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

export function createPipeline(options: PipelineOptions, deps: PipelineDeps): Pipeline {
  const { store, clock, log, metrics } = deps;
  const prepare = createPrepare({ clock, host: options.host, redact: deps.redact });
  const wake = createPace({ waiting: () => inbox.size(), run: () => tick.run() });
  const inbox: Inbox = createInbox(options.limits, { metrics, wake });
  const analysis = createAnalysis({
    context: {
      host: options.host,
      quietMs: options.quietMs,
      newId,
      now: () => clock.now(),
      workspaceOf: options.workspaceOf,
    },
    createDetectors: deps.createDetectors,
    sessionOf: (id) => store.sessions.get(id),
    log,
    metrics,
  });
  const dispatch = createDispatch({
    ...deps,
    rows: {
      insert: (record: ReactionRecord) => store.commit({ ...NOTHING, reactions: [record] }),
      update: (record: ReactionRecord) => store.updateReaction(record),
    },
  });
  const tick: Tick = createTick({
    ...deps,
    inbox,
    analysis,
    policy: options.policy,
    isArmed: deps.isArmed ?? (() => options.policy.checkpointEnabled),
    quietMs: options.quietMs,
    dispatch: (orders) => dispatch.perform(orders),
    resume: () => inbox.size() > 0 && wake(),
  });
  giveUpUnfinished(deps);
  tick.rebuild();

  return {
    offer: (drafts) => inbox.offer(drafts.map(prepare)),
    full: () => inbox.full(),
    isDebounced: (workspace) => tick.isDebounced(workspace),
    resolve(id) {
      const it = analysis.resolve(id) ?? resolveStored(id, deps);
      if (it) {
        store.updateInterruption(it);
        deps.publish("interruption", { ...it });
      }
      return it;
    },
    async stop(graceMs) {
      await tick.finish();
      await dispatch.stop(graceMs);
    },
  };
}

const NOTHING = {
  events: [] as StoredEvent[],
  openedInterruptions: [] as Interruption[],
  changedInterruptions: [] as Interruption[],
};

/** An interruption that was quiet for long is not held open any more, but can still be resolved. */
function resolveStored(id: string, { store, clock }: PipelineDeps): Interruption | null {
  const it = store.interruptions.get(id);
  if (it && it.resolvedMs === null) it.resolvedMs = clock.now();
  return it;
}

/** What a killed observer had begun has no outcome that anyone could know. */
function giveUpUnfinished({ store }: PipelineDeps): void {
  for (const record of store.unfinishedReactions()) {
    const reason = "observer ended before its outcome was known";
    store.updateReaction({ ...record, status: "failed", reason });
  }
}
