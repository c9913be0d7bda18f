// Which checkpoints are kept: the plan alone, without anything being removed.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import {
  type KeepRules,
  planRetention,
  type RetentionFacts,
  type Volume,
} from "../../src/checkpoints/retention.ts";
import {
  CHECKPOINT_KINDS,
  CHECKPOINT_STATUSES,
  type Checkpoint,
} from "../../src/core/checkpoint.ts";
import { checkpointRow } from "../support/checkpoint-row.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** A full hour, day and week begin here, so that ages fall into buckets that can be told. */
const NOW = Date.UTC(2026, 0, 1, 0, 0, 0);

const RULES: KeepRules = {
  count: 100,
  allMs: HOUR,
  hourlyMs: DAY,
  dailyMs: 7 * DAY,
  ageMs: 30 * DAY,
  safetyMs: 3 * DAY,
};
const ROOMY: Volume = { freeBytes: 1_000, guardBytes: 10, used: { bytes: 0, max: 1_000 } };

const facts = (over: Partial<RetentionFacts> = {}): RetentionFacts => ({
  nowMs: NOW,
  clockTrusted: true,
  isInUse: () => false,
  volumeOf: ({ backend }) => backend,
  volumes: new Map([["store", ROOMY]]),
  roomStep: 1,
  ...over,
});

/** Rows by their ages, newest first as the store lists them. */
function aged(ages: number[], over: Partial<Checkpoint> = {}): Checkpoint[] {
  return ages.map((age, index) =>
    checkpointRow({ id: `c${index}`, createdMs: NOW - age, ...over }),
  );
}

const plan = (rows: Checkpoint[], over: Partial<RetentionFacts> = {}, rules = RULES) =>
  planRetention(rows, facts(over), rules).map(({ id, reason }) => `${id} ${reason}`);

describe("thinning", () => {
  test("keeps all of the last hour, then the newest of each hour, day and week, then none", () => {
    const ages = [
      MINUTE, // c0: the last hour
      30 * MINUTE, // c1
      HOUR, // c2: the oldest of the last hour
      70 * MINUTE, // c3: stands for its hour
      100 * MINUTE, // c4: the same hour
      130 * MINUTE, // c5: another hour
      25 * HOUR, // c6: stands for its day
      30 * HOUR, // c7: the same day
      9 * DAY, // c8: stands for its week
      10 * DAY, // c9: the same week
      31 * DAY, // c10: too old
    ];
    expect(plan(aged(ages))).toEqual(["c10 age", "c4 thinned", "c7 thinned", "c9 thinned"]);
  });

  test("a whole one stands for its hour rather than a partial or damaged one", () => {
    const rows = aged([MINUTE, 61 * MINUTE, 65 * MINUTE, 70 * MINUTE, 80 * MINUTE]);
    const [, partial, damaged] = rows;
    if (partial) partial.status = "partial";
    if (damaged) damaged.verified = false;
    expect(plan(rows)).toEqual(["c1 thinned", "c2 thinned", "c4 thinned"]);
  });

  test("leaves alone what a person asked for or pinned, and safety copies", () => {
    for (const over of [{ kind: "manual" }, { pinned: true }, { kind: "safety" }] as const)
      expect(plan(aged([MINUTE, 70 * MINUTE, 80 * MINUTE, 90 * MINUTE], over))).toEqual([]);
  });

  test("each workspace is thinned by itself", () => {
    const rows = [...aged([70 * MINUTE]), ...aged([71 * MINUTE], { workspace: "/other" })];
    expect(plan(rows)).toEqual([]);
  });
});

describe("age and number", () => {
  test("safety copies have a short age of their own", () => {
    const rows = [
      ...aged([HOUR, 4 * DAY], { kind: "manual" }),
      checkpointRow({ id: "s1", kind: "safety", createdMs: NOW - 2 * DAY }),
      checkpointRow({ id: "s2", kind: "safety", createdMs: NOW - 4 * DAY }),
    ];
    expect(plan(rows)).toEqual(["s2 safety_age"]);
  });

  test("failed and unknown ones go when they are old, pending ones never", () => {
    const rows = (["failed", "unknown", "pending"] as const).flatMap((status) => [
      checkpointRow({ id: `${status}-new`, status, createdMs: NOW - DAY }),
      checkpointRow({ id: `${status}-old`, status, createdMs: NOW - 31 * DAY }),
    ]);
    expect(plan(rows)).toEqual(["failed-old failed", "unknown-old failed"]);
  });

  test("over the number the oldest go, pinned ones and safety copies do not count", () => {
    const rows = [
      checkpointRow({ id: "s", kind: "safety", createdMs: NOW }),
      checkpointRow({ id: "p", pinned: true, createdMs: NOW }),
      ...aged([1, 2, 3, 4], { kind: "manual" }),
    ];
    expect(plan(rows, {}, { ...RULES, count: 2 })).toEqual(["c2 count", "c3 count"]);
  });

  test("after the clock was set nothing is judged by age, only by number and room", () => {
    const rows = aged([40 * DAY, 41 * DAY, 42 * DAY]);
    expect(plan(rows, { clockTrusted: false })).toEqual([]);
    expect(plan(rows, { clockTrusted: false }, { ...RULES, count: 1 })).toEqual([
      "c1 count",
      "c2 count",
    ]);
  });

  test("a clock that was set back removes nothing: what comes from the future is young", () => {
    expect(plan(aged([-3 * DAY, -2 * DAY, -DAY]))).toEqual([]);
  });
});

describe("what always stays", () => {
  test("the newest usable one, and the newest that is no safety copy, however old and full", () => {
    const rows = [
      checkpointRow({ id: "failed", status: "failed", createdMs: NOW - 39 * DAY }),
      checkpointRow({ id: "safety", kind: "safety", createdMs: NOW - 40 * DAY }),
      checkpointRow({ id: "manual", kind: "manual", createdMs: NOW - 41 * DAY }),
      checkpointRow({ id: "older", kind: "manual", createdMs: NOW - 42 * DAY }),
    ];
    const full = new Map([["store", { ...ROOMY, freeBytes: 0, guardBytes: 1_000_000 }]]);
    expect(plan(rows, { volumes: full })).toEqual(["failed failed", "older age"]);
  });

  test("a damaged one is not the newest usable, unless there is no other", () => {
    const rows = aged([31 * DAY, 32 * DAY, 33 * DAY]);
    if (rows[0]) rows[0].verified = false;
    expect(plan(rows)).toEqual(["c0 age", "c2 age"]);
    for (const row of rows) row.verified = false;
    expect(plan(rows)).toEqual(["c1 age", "c2 age"]);
  });

  test("one that is in use", () => {
    expect(plan(aged([1, 31 * DAY, 32 * DAY]), { isInUse: (id) => id === "c1" })).toEqual([
      "c2 age",
    ]);
  });
});

describe("room", () => {
  const short = (bytes: number, over: Partial<Volume> = {}) =>
    new Map([["store", { freeBytes: 0, guardBytes: bytes, used: null, ...over }]]);

  test("the oldest give way until what they hold makes up for what is missing", () => {
    const rows = aged([1, 2, 3, 4], { kind: "manual" });
    expect(plan(rows, { volumes: short(150) })).toEqual(["c3 free_space", "c2 free_space"]);
    expect(plan(rows, { volumes: short(0) })).toEqual([]);
  });

  test("damaged ones go first, then automatic, then safety copies, then manual ones", () => {
    const rows = [
      checkpointRow({ id: "newest", createdMs: NOW }),
      checkpointRow({ id: "damaged", verified: false, createdMs: NOW - 1 }),
      checkpointRow({ id: "auto", createdMs: NOW - 2 }),
      checkpointRow({ id: "safety", kind: "safety", createdMs: NOW - 3 }),
      checkpointRow({ id: "manual", kind: "manual", createdMs: NOW - 4 }),
    ];
    expect(plan(rows, { volumes: short(10_000) })).toEqual(
      ["damaged", "auto", "safety", "manual"].map((id) => `${id} free_space`),
    );
  });

  test("one that shares its content with another frees nothing, so more of them go", () => {
    const rows = aged([1, 2, 3, 4], { ref: "same" });
    rows.push(checkpointRow({ id: "other", createdMs: NOW - 5 }));
    expect(plan(rows, { volumes: short(50) })).toEqual(["other free_space"]);
    const twins = aged([1, 2, 3], { ref: "same" });
    expect(plan(twins, { volumes: short(50) })).toEqual(["c2 free_space", "c1 free_space"]);
  });

  test("the size of the store is a bound of its own, and what expires counts first", () => {
    const used = { bytes: 500, max: 350 };
    const volumes = new Map([["store", { ...ROOMY, used }]]);
    const rows = aged([1, 2, 3, 4], { kind: "manual" });
    expect(plan(rows, { volumes })).toEqual(["c3 store_size", "c2 store_size"]);
    const old = checkpointRow({ id: "old", kind: "manual", createdMs: NOW - 31 * DAY });
    expect(plan([...rows, old], { volumes })).toEqual(["old age", "c3 store_size"]);
  });

  test("snapshots on a full file system give way to nothing but their own lack", () => {
    const rows = [
      ...aged([1, 2], { backend: "btrfs", bytes: null }),
      checkpointRow({ id: "stored", createdMs: NOW - 3, workspace: "/w2" }),
      checkpointRow({ id: "stored2", createdMs: NOW - 4, workspace: "/w2" }),
    ];
    const volumes = new Map([
      ["store", ROOMY],
      ["btrfs", { freeBytes: 0, guardBytes: 1, used: null }],
    ]);
    expect(plan(rows, { volumes })).toEqual(["c1 free_space"]);
  });
});

const anyRow = fc.record({
  age: fc.integer({ min: -DAY, max: 60 * DAY }),
  kind: fc.constantFrom(...CHECKPOINT_KINDS),
  status: fc.constantFrom(...CHECKPOINT_STATUSES.filter((status) => status !== "deleted")),
  verified: fc.boolean(),
  pinned: fc.boolean(),
  workspace: fc.constantFrom("/a", "/b"),
  bytes: fc.option(fc.nat(1_000)),
});

test("whatever the rows, rules and room: nothing is removed twice, pinned or in use, and each workspace keeps its newest usable one", () => {
  fc.assert(
    fc.property(
      fc.array(anyRow, { maxLength: 40 }),
      fc.record({
        count: fc.integer({ min: 1, max: 20 }),
        allMs: fc.nat(2 * HOUR),
        hourlyMs: fc.nat(2 * DAY),
        dailyMs: fc.nat(10 * DAY),
        ageMs: fc.nat(40 * DAY),
        safetyMs: fc.nat(10 * DAY),
      }),
      fc.nat(5_000),
      (made, rules, missing) => {
        const rows = made.map(({ age, ...row }, index) =>
          checkpointRow({ ...row, id: `c${index}`, createdMs: NOW - age }),
        );
        const volumes = new Map([
          ["store", { freeBytes: 0, guardBytes: missing, used: null } as Volume],
        ]);
        const isInUse = (id: string): boolean => id.endsWith("7");
        const removed = planRetention(rows, facts({ volumes, isInUse }), rules);
        const ids = new Set(removed.map(({ id }) => id));
        expect(ids.size).toBe(removed.length);
        for (const row of rows)
          if (row.pinned || isInUse(row.id)) expect(ids).not.toContain(row.id);
        for (const workspace of ["/a", "/b"]) {
          const usable = rows.filter(
            (row) =>
              row.workspace === workspace && (row.status === "ok" || row.status === "partial"),
          );
          const newest = usable.find(({ verified }) => verified) ?? usable[0];
          if (newest) expect(ids).not.toContain(newest.id);
        }
      },
    ),
    { numRuns: 300 },
  );
});
