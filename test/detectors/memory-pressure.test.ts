// memory_pressure: one trouble for each cgroup and agent, whose level rises in place.

import { expect, test } from "bun:test";
import type { EventData, ObserverEvent } from "../../src/core/event.ts";
import { createInterruptions } from "../../src/pipeline/interruptions.ts";
import { event, findingsOf, START_MS } from "../support/detector-scenario.ts";

const MIB = 1024 * 1024;

const pressure = (level: unknown, ms: number, data: EventData = {}): ObserverEvent =>
  event(
    "memory_pressure",
    { level, cgroup: "/c", usage_bytes: 160 * MIB, limit_bytes: 200 * MIB, ...data },
    { timeMs: START_MS + ms, pid: 7, agent: "codex" },
  );

function changesOf(events: ObserverEvent[]) {
  let next = 0;
  const interruptions = createInterruptions({
    host: "h",
    quietMs: 1_800_000,
    newId: () => `i${(next += 1)}`,
    now: () => START_MS,
    workspaceOf: () => null,
  });
  return findingsOf(events).flatMap((finding) =>
    interruptions
      .apply(finding)
      .map(({ kind, interruption }) => ({ kind, ...structuredClone(interruption) })),
  );
}

const seen = (events: ObserverEvent[]): string[] =>
  changesOf(events).map(({ id, kind, detail }) => `${id} ${kind} ${String(detail["level"])}`);

test("a rising level escalates the one row in place, without naming a milder type", () => {
  const changes = changesOf([
    pressure("watch", 0),
    pressure("checkpoint", 1_000, { time_to_limit_ms: 900 }),
    pressure("freeze", 1_500, { freeze_id: "f1", fill_bytes_per_s: 1e9 }),
  ]);
  expect(changes.map(({ id, kind, detail }) => [id, kind, detail["level"]])).toEqual([
    ["i1", "opened", "watch"],
    ["i1", "escalated", "checkpoint"],
    ["i1", "escalated", "freeze"],
  ]);
  expect(changes.at(-1)?.detail).toEqual({
    level: "freeze",
    cgroup: "/c",
    usage_bytes: 160 * MIB,
    limit_bytes: 200 * MIB,
    fill_bytes_per_s: 1e9,
    time_to_limit_ms: null,
    psi_some_avg10: null,
    freeze_id: "f1",
  });
  expect(changes[1]?.summary).toBe(
    "codex (pid 7) uses 80 % of the 200.0 MiB that it may, the rest lasts 900 ms",
  );
});

test("a level that is told again, or falls, is counted and keeps the highest", () => {
  expect(
    seen([pressure("checkpoint", 0), pressure("watch", 1_000), pressure("checkpoint", 2_000)]),
  ).toEqual(["i1 opened checkpoint", "i1 counted checkpoint", "i1 counted checkpoint"]);
});

test("after a quiet time the same level is news again, for the same row", () => {
  expect(seen([pressure("checkpoint", 0), pressure("checkpoint", 31_000)])).toEqual([
    "i1 opened checkpoint",
    "i1 escalated checkpoint",
  ]);
  const [, again] = changesOf([pressure("freeze", 0), pressure("watch", 31_000)]);
  expect(again).toMatchObject({ kind: "escalated", count: 2 });
  expect(again?.detail["escalated_from"]).toBeUndefined();
});

test("cgroups and sessions are apart", () => {
  const other = { ...pressure("watch", 200), sessionId: "s2" };
  expect(seen([pressure("watch", 0), pressure("watch", 100, { cgroup: "/d" }), other])).toEqual([
    "i1 opened watch",
    "i2 opened watch",
    "i3 opened watch",
  ]);
});

test("an event without level, or with one that is none, is the watch level", () => {
  const levels = [undefined, "panic", 3].map(
    (level) => findingsOf([pressure(level, 0)])[0]?.detail["level"],
  );
  expect(levels).toEqual(["watch", "watch", "watch"]);
});
