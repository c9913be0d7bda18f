// Gives callers their receipts, once what they are told is as durable as it was promised.

import { messageOf } from "../core/errors.ts";
import type { Receipt } from "../core/event.ts";
import type { Store } from "../store/store.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { InboxEntry } from "./inbox.ts";

export interface Answer {
  entry: InboxEntry;
  receipt: Receipt;
}

export interface Answers {
  /**
   * Answers when all that was committed so far is durable. `events`: how many the last commit had. A duplicate
   * waits with the others: what it repeats may not be on disk yet either.
   */
  whenDurable(answers: Answer[], events: number): void;
  now(answers: Answer[]): void;
  /** True while somebody waits for the disk: a commit made meanwhile could not be answered any sooner. */
  waiting(): boolean;
  /** Resolves when nobody waits for the disk any more. */
  synced(): Promise<void>;
}

export interface AnswersDeps {
  store: Store;
  log: Log;
  metrics: Metrics;
  /** Called when a wait for the disk is over. */
  resume: () => void;
}

export function createAnswers({ store, log, metrics, resume }: AnswersDeps): Answers {
  const waiting = new Set<Promise<void>>();

  const now = (answers: Answer[]): void => {
    for (const { entry, receipt } of answers) {
      entry.receipts[entry.index] = receipt;
      entry.settle();
    }
  };

  /** It is written, but nobody can promise that it stays. */
  const refuse = (answers: Answer[], thrown: unknown): void => {
    log.error("sync failed", { events: answers.length, error: messageOf(thrown) });
    metrics.add("observer_events_rejected_total", answers.length, { reason: "storage" });
    const receipt: Receipt = { status: "rejected", code: "storage", reason: messageOf(thrown) };
    now(answers.map(({ entry }) => ({ entry, receipt })));
  };

  return {
    now,
    waiting: () => waiting.size > 0,
    whenDurable(answers, events) {
      const durable = store.durable(events);
      if (durable === null) return now(answers);
      const settled: Promise<void> = durable
        .then(
          () => now(answers),
          (thrown: unknown) => refuse(answers, thrown),
        )
        .finally(() => {
          waiting.delete(settled);
          resume();
        });
      waiting.add(settled);
    },
    synced: async () => void (await Promise.allSettled(waiting)),
  };
}
