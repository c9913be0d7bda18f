// Performs what was ordered, within its time, and records what came of it.

import type { Clock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import { newId } from "../core/ids.ts";
import type { Reaction, ReactionOrder, ReactionOutcome, ReactionRecord } from "../core/reaction.ts";
import { wholeMicroseconds } from "../core/units.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { toRecord } from "./judge.ts";

/** Pauses before a failed checkpoint is tried again; then it is given up and stands as failed. */
const CHECKPOINT_RETRY_MS = [5_000, 30_000, 120_000];

export interface DispatchDeps {
  reactions: readonly Reaction[];
  /** Keeps the row of an order: `insert` for a retry, `update` for an outcome. */
  rows: { insert(record: ReactionRecord): void; update(record: ReactionRecord): void };
  clock: Clock;
  log: Log;
  metrics: Metrics;
  publish(type: "reaction", record: ReactionRecord): void;
}

export interface Dispatch {
  perform(orders: ReactionOrder[]): void;
  /** Waits for what is under way, at most `graceMs`; retries that wait are given up. */
  stop(graceMs: number): Promise<void>;
}

export function createDispatch(deps: DispatchDeps): Dispatch {
  const { clock, log, metrics } = deps;
  const underWay = new Set<Promise<void>>();
  const retries = new Set<ReturnType<typeof setTimeout>>();

  const run = async (order: ReactionOrder, attempt: number): Promise<void> => {
    const started = clock.monotonic();
    const record = toRecord(order, clock.now());
    const outcome = await settle(order);
    record.status = outcome.status;
    record.reason = outcome.reason;
    record.detail = { ...outcome.detail, attempt: attempt + 1 };
    record.durationMs = wholeMicroseconds(clock.monotonic() - started);
    metrics.add("observer_reactions_total", 1, { kind: order.kind, status: outcome.status });
    keep(() => deps.rows.update(record), order);
    deps.publish("reaction", record);
    if (outcome.status !== "done") retryLater(order, attempt);
  };

  /** A full disk is just when checkpoints fail: what cannot be stored is said, and must not end observer. */
  const keep = (write: () => void, { id }: ReactionOrder): void => {
    try {
      write();
    } catch (thrown) {
      log.error("reaction could not be stored", { reaction: id, error: messageOf(thrown) });
    }
  };

  const settle = async (order: ReactionOrder): Promise<ReactionOutcome> => {
    const reaction = deps.reactions.find(({ kind }) => kind === order.kind);
    if (!reaction) return { status: "failed", reason: "no such reaction here", detail: {} };
    const abort = new AbortController();
    const { promise: late, resolve } = Promise.withResolvers<ReactionOutcome>();
    const timer = setTimeout(() => {
      abort.abort();
      const reason = `not done after ${reaction.deadlineMs} ms`;
      resolve({ status: "timed_out", reason, detail: {} });
    }, reaction.deadlineMs);
    try {
      return await Promise.race([reaction.perform(order, abort.signal), late]);
    } catch (thrown) {
      return { status: "failed", reason: messageOf(thrown), detail: {} };
    } finally {
      clearTimeout(timer);
    }
  };

  const retryLater = (order: ReactionOrder, attempt: number): void => {
    const pauseMs = order.kind === "checkpoint" ? CHECKPOINT_RETRY_MS[attempt] : undefined;
    if (pauseMs === undefined) return;
    const timer = setTimeout(() => {
      retries.delete(timer);
      const reason = `retry ${attempt + 1} of ${CHECKPOINT_RETRY_MS.length}: ${order.reason}`;
      const again = { ...order, id: newId(), reason };
      keep(() => deps.rows.insert(toRecord(again, clock.now())), again);
      start(again, attempt + 1);
    }, pauseMs);
    retries.add(timer);
  };

  const start = (order: ReactionOrder, attempt: number): void => {
    const running = run(order, attempt).finally(() => underWay.delete(running));
    underWay.add(running);
  };

  return {
    perform(orders) {
      for (const order of orders) start(order, 0);
    },
    async stop(graceMs) {
      for (const timer of retries) clearTimeout(timer);
      await Promise.race([Promise.allSettled(underWay), Bun.sleep(graceMs)]);
    },
  };
}
