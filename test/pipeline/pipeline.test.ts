// The pipeline on a real store: drafts in; receipts, rows, reactions and counters out.

import { expect, test } from "bun:test";
import type { Detector } from "../../src/core/contracts.ts";
import type { EventDraft } from "../../src/core/event.ts";
import type { Reaction, ReactionOrder } from "../../src/core/reaction.ts";
import { createPipeline, type Pipeline } from "../../src/pipeline/pipeline.ts";
import { createStore, type Store } from "../../src/store/store.ts";
import { createMetrics, type Metrics } from "../../src/telemetry/metrics.ts";
import { createFakeClock, createFakeLog, type FakeClock } from "../support/clock.ts";
import { draft } from "../support/events.ts";
import { withTempDirectory } from "../support/temp-directory.ts";

/** A detector for tests: every note that says `boom` is an agent_crash, `throw` makes it throw. */
function boomDetector(): Detector {
  return {
    type: "agent_crash",
    observe(event) {
      if (event.data.note === "throw") throw new Error("detector bug");
      if (event.data.note !== "boom") return [];
      return [
        {
          type: "agent_crash",
          fingerprint: event.data["print"] as string,
          timeMs: event.timeMs,
          summary: "boom",
          detail: {},
          evidence: [event.id],
          ...(event.sessionId === undefined ? {} : { sessionId: event.sessionId }),
        },
      ];
    },
  };
}

interface Rig {
  store: Store;
  pipeline: Pipeline;
  metrics: Metrics;
  clock: FakeClock;
  orders: ReactionOrder[];
  log: ReturnType<typeof createFakeLog>;
  settled(): Promise<void>;
}

function rig(
  directory: string,
  options: { checkpoint?: Reaction["perform"]; eventsMax?: number; startMs?: number } = {},
): Rig {
  const store = createStore({ directory, durability: "normal", host: "here" });
  const metrics = createMetrics();
  const clock = createFakeClock(options.startMs);
  const log = createFakeLog();
  const orders: ReactionOrder[] = [];
  const done = { status: "done", reason: "ok", detail: {} } as const;
  const reaction = (kind: "alert" | "checkpoint", perform?: Reaction["perform"]): Reaction => ({
    kind,
    deadlineMs: 50,
    perform: (order, signal) => {
      orders.push(order);
      return perform ? perform(order, signal) : Promise.resolve(done);
    },
  });
  const pipeline = createPipeline(
    {
      host: "here",
      limits: { eventsMax: options.eventsMax ?? 1_000, bytesMax: 1_000_000 },
      policy: {
        alertSeverity: "medium",
        checkpointEnabled: true,
        debounceMs: 30_000,
        dryRun: false,
      },
      quietMs: 1_800_000,
      workspaceOf: ({ cwd }) => cwd ?? "/w",
    },
    {
      store,
      clock,
      log,
      metrics,
      redact: {
        value: (data) =>
          JSON.stringify(data).includes("hunter2")
            ? (JSON.parse(JSON.stringify(data).replaceAll("hunter2", "[redacted]")) as unknown)
            : null,
        text: (text) => text.replaceAll("hunter2", "[redacted]"),
      },
      createDetectors: () => [boomDetector()],
      reactions: [reaction("checkpoint", options.checkpoint), reaction("alert")],
      publish: () => undefined,
    },
  );
  return { store, pipeline, metrics, clock, orders, log, settled: () => Bun.sleep(20) };
}

const boom = (fields: Partial<EventDraft> = {}, print = "x"): EventDraft =>
  draft({ sessionId: "s", data: { note: "boom", print }, ...fields });

test("offer answers after the commit, with position and id", () =>
  withTempDirectory(async (directory) => {
    const { pipeline, store } = rig(directory);
    const receipts = await pipeline.offer([draft(), draft({ id: "mine" })]);
    expect(receipts.map(({ status }) => status)).toEqual(["accepted", "accepted"]);
    const again = createStore({ directory, durability: "normal", host: "here" });
    expect(again.nextSeq()).toBe(3);
    expect(store.events.get("mine")?.seq).toBe(2);
  }));

test("offer is idempotent on (source, id), within a batch and across, and refuses another body", () =>
  withTempDirectory(async (directory) => {
    const { pipeline, metrics } = rig(directory);
    const one = draft({ id: "a", digest: 1 });
    const statuses = async (drafts: EventDraft[]): Promise<string[]> =>
      (await pipeline.offer(drafts)).map(({ status }) => status);
    expect(await statuses([one, one, draft({ id: "a", digest: 2 })])).toEqual([
      "accepted",
      "duplicate",
      "rejected",
    ]);
    expect(await statuses([one, draft({ id: "a", digest: 1, source: "other" })])).toEqual([
      "duplicate",
      "accepted",
    ]);
    expect(metrics.get("observer_events_duplicate_total")).toBe(2);
    expect(metrics.get("observer_events_rejected_total", { reason: "conflict" })).toBe(1);
  }));

test("offer keeps the good rows of a batch whose one row cannot be stored", () =>
  withTempDirectory(async (directory) => {
    const { pipeline, store, metrics } = rig(directory);
    const receipts = await pipeline.offer([draft(), draft({ timeMs: 1.5 }), boom()]);
    expect(receipts.map(({ status }) => status)).toEqual(["accepted", "rejected", "accepted"]);
    expect(store.nextSeq()).toBe(3);
    expect(metrics.get("observer_events_rejected_total", { reason: "storage" })).toBe(1);
    expect((await store.interruptions.list({ limit: 9, filters: {} })).items).toHaveLength(1);
  }));

test("offer never calls an event a duplicate of one that could not be stored", () =>
  withTempDirectory(async (directory) => {
    const { pipeline, store } = rig(directory);
    const bad = draft({ id: "a", timeMs: 1.5 });
    const receipts = await pipeline.offer([bad, bad, draft({ id: "a" }), draft({ id: "a" })]);
    expect(receipts.map(({ status }) => status)).toEqual([
      "rejected",
      "rejected",
      "accepted",
      "duplicate",
    ]);
    expect(store.nextSeq()).toBe(2);
  }));

test("offer refuses what the inbox cannot hold, and counts it", () =>
  withTempDirectory(async (directory) => {
    const { pipeline, metrics } = rig(directory, { eventsMax: 3 });
    const first = pipeline.offer([draft(), draft()]);
    const second = await pipeline.offer([draft(), draft()]);
    expect(second.map((it) => (it.status === "rejected" ? it.code : it.status))).toEqual([
      "overloaded",
      "overloaded",
    ]);
    expect((await first).every(({ status }) => status === "accepted")).toBe(true);
    expect(metrics.get("observer_events_rejected_total", { reason: "overloaded" })).toBe(2);
  }));

test("a secret never reaches the file", () =>
  withTempDirectory(async (directory) => {
    const { pipeline, store } = rig(directory);
    await pipeline.offer([draft({ id: "q", data: { prompt: "the word is hunter2" } })]);
    expect(store.events.get("q")?.data.prompt).toBe("the word is [redacted]");
    const word = "is-hunter2";
    const names = { source: word, host: word, sessionId: word, agent: word, workspace: word };
    const named = draft({ id: word, data: { note: "boom", print: "p" }, ...names });
    expect((await pipeline.offer([named]))[0]?.status).toBe("accepted");
    expect((await pipeline.offer([named]))[0]?.status).toBe("duplicate");
    store.settle();
    const files = await Array.fromAsync(new Bun.Glob("*").scan({ cwd: directory, absolute: true }));
    for (const file of files) expect(await Bun.file(file).text()).not.toContain("hunter2");
  }));

test("an interruption orders a checkpoint and an alert, each with an outcome row", () =>
  withTempDirectory(async (directory) => {
    const { pipeline, store, settled } = rig(directory);
    await pipeline.offer([boom()]);
    await settled();
    const { items } = await store.reactions.list({ limit: 9, filters: {} });
    expect(items.map(({ kind, status }) => `${kind} ${status}`).sort()).toEqual([
      "alert done",
      "checkpoint done",
    ]);
    expect(items.every(({ durationMs }) => durationMs !== null)).toBe(true);
  }));

test("a second trouble within the debounce is recorded as suppressed, not dropped", () =>
  withTempDirectory(async (directory) => {
    const { pipeline, store, clock, settled } = rig(directory);
    await pipeline.offer([boom()]);
    await pipeline.offer([boom({}, "y")]);
    clock.advance(30_001);
    await pipeline.offer([boom({}, "z")]);
    await settled();
    const { items } = await store.reactions.list({ limit: 9, filters: { kind: "checkpoint" } });
    expect(items.map(({ status }) => status)).toEqual(["done", "suppressed", "done"]);
  }));

test("repeating a trouble raises the count and orders nothing more", () =>
  withTempDirectory(async (directory) => {
    const { pipeline, store, orders, settled } = rig(directory);
    await pipeline.offer([boom(), boom(), boom()]);
    await pipeline.offer([boom()]);
    await settled();
    const { items } = await store.interruptions.list({ limit: 9, filters: {} });
    expect(items.map(({ count }) => count)).toEqual([4]);
    expect(orders).toHaveLength(2);
  }));

test("imported history is judged but nothing is done about it", () =>
  withTempDirectory(async (directory) => {
    const { pipeline, store, orders } = rig(directory);
    await pipeline.offer([boom({ imported: true })]);
    expect((await store.interruptions.list({ limit: 9, filters: {} })).items).toHaveLength(1);
    expect((await store.reactions.list({ limit: 9, filters: {} })).items).toHaveLength(0);
    expect(orders).toHaveLength(0);
  }));

test("a reaction that hangs is recorded as timed out", () =>
  withTempDirectory(async (directory) => {
    const { pipeline, store } = rig(directory, { checkpoint: () => new Promise(() => undefined) });
    await pipeline.offer([boom()]);
    await Bun.sleep(120);
    const { items } = await store.reactions.list({ limit: 9, filters: { kind: "checkpoint" } });
    expect(items.map(({ status }) => status)).toEqual(["timed_out"]);
    await pipeline.stop(10);
  }));

test("a reaction that throws is recorded as failed", () =>
  withTempDirectory(async (directory) => {
    const { pipeline, store, settled } = rig(directory, {
      checkpoint: () => Promise.reject(new Error("no disk")),
    });
    await pipeline.offer([boom()]);
    await settled();
    const { items } = await store.reactions.list({ limit: 9, filters: { status: "failed" } });
    expect(items.map(({ reason }) => reason)).toEqual(["no disk"]);
    await pipeline.stop(10);
  }));

test("a detector that throws costs no event and is switched off after ten faults", () =>
  withTempDirectory(async (directory) => {
    const { pipeline, metrics, log, store } = rig(directory);
    const bad = draft({ data: { note: "throw" } });
    const receipts = await pipeline.offer(Array.from({ length: 12 }, () => bad));
    expect(receipts.every(({ status }) => status === "accepted")).toBe(true);
    expect(metrics.get("observer_detector_faults_total", { detector: "agent_crash" })).toBe(10);
    expect(log.lines.some((line) => line.includes("switched off"))).toBe(true);
    expect(store.nextSeq()).toBe(13);
  }));

test("a restart goes on counting the open interruption and closes unfinished reactions", () =>
  withTempDirectory(async (directory) => {
    const first = rig(directory, { checkpoint: () => new Promise(() => undefined) });
    await first.pipeline.offer([boom()]);
    // Killed here: nothing of the first is stopped or settled.
    const second = rig(directory);
    const { items } = await second.store.reactions.list({
      limit: 9,
      filters: { kind: "checkpoint" },
    });
    expect(items.map(({ status }) => status)).toEqual(["failed"]);
    await second.pipeline.offer([boom()]);
    const after = await second.store.interruptions.list({ limit: 9, filters: {} });
    expect(after.items.map(({ count }) => count)).toEqual([2]);
    await first.pipeline.stop(0);
  }));

test("a restart still knows a session that named its directory long ago", () =>
  withTempDirectory(async (directory) => {
    const startMs = createFakeClock().now();
    const first = rig(directory, { startMs: startMs - 86_400_000 });
    const start = { kind: "session_start", sessionId: "s", agent: "a" } as const;
    await first.pipeline.offer([draft({ ...start, data: { cwd: "/far" } })]);
    const second = rig(directory, { startMs });
    await second.pipeline.offer([boom()]);
    const { items } = await second.store.interruptions.list({ limit: 9, filters: {} });
    expect(items).toMatchObject([{ agent: "a", workspace: "/far" }]);
    await first.pipeline.stop(0);
  }));

test("resolve ends an interruption; the next one is a new row", () =>
  withTempDirectory(async (directory) => {
    const { pipeline, store } = rig(directory);
    await pipeline.offer([boom()]);
    const id = (await store.interruptions.list({ limit: 1, filters: {} })).items[0]?.id ?? "";
    expect(pipeline.resolve(id)?.resolvedMs).toBeNumber();
    expect(store.interruptions.get(id)?.resolvedMs).toBeNumber();
    expect(pipeline.resolve("absent")).toBeNull();
    await pipeline.offer([boom()]);
    expect((await store.interruptions.list({ limit: 9, filters: {} })).items).toHaveLength(2);
  }));
