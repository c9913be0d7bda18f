// The arithmetic of memory pressure and the words of the kernel's log, without a kernel.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import type { KmsgRecord } from "../../../src/kernel/kmsg.ts";
import { parseOomConstraint, parseOomLine } from "../../../src/kernel/kmsg.ts";
import { HOST_RULES, levelOf, rankOf, savingMs } from "../../../src/sources/memory/levels.ts";
import { createLoggedKills, oomEvent } from "../../../src/sources/memory/oom-proof.ts";
import { nextPauseMs } from "../../../src/sources/memory/sampling.ts";
import { createFillRate, timeToLimitMs } from "../../../src/sources/memory/time-to-limit.ts";
import { MIB } from "./support.ts";

const LIMIT = 200 * MIB;

describe("createFillRate", () => {
  const rateOf = (looks: [number, number][]): number => {
    const rate = createFillRate(LIMIT);
    for (const [atMs, mib] of looks) rate.add({ atMs, bytes: mib * MIB });
    return rate.bytesPerS() / MIB;
  };

  test("sees a fast fill at its second look", () => {
    expect(
      rateOf([
        [0, 100],
        [20, 140],
      ]),
    ).toBeCloseTo(2_000);
  });

  test("keeps the fastest growth for a second, and forgets it then", () => {
    const looks: [number, number][] = [
      [0, 100],
      [20, 140],
    ];
    expect(rateOf([...looks, [900, 140]])).toBeCloseTo(2_000);
    expect(rateOf([...looks, [1_100, 140], [3_000, 140]])).toBeLessThan(40);
  });

  test("takes growth under 2 % of the limit for a burst that ends by itself", () => {
    expect(
      rateOf([
        [0, 100],
        [20, 103],
      ]),
    ).toBeLessThan(3);
  });

  test("sees a slow and steady fill", () => {
    const looks = Array.from({ length: 11 }, (_, i): [number, number] => [i * 1_000, 50 + i]);
    expect(rateOf(looks)).toBeWithin(0.9, 1.1);
  });

  test("is 0 when nothing grows, whatever the looks, also when they come late or twice", () => {
    const bytes = fc.array(fc.tuple(fc.nat(10_000), fc.nat(1_000)), { maxLength: 50 });
    fc.assert(
      fc.property(bytes, (looks) => {
        const falling = looks.map(([atMs], i): [number, number] => [atMs, 1_000 - i]);
        expect(rateOf(falling)).toBe(0);
        expect(rateOf(looks)).toBeGreaterThanOrEqual(0);
        expect(Number.isFinite(rateOf(looks))).toBe(true);
      }),
    );
  });
});

test("timeToLimitMs divides the room by the rate", () => {
  expect(timeToLimitMs(100, 50)).toBe(2_000);
  expect(timeToLimitMs(100, 0)).toBeNull();
  expect(timeToLimitMs(-5, 50)).toBe(0);
});

describe("levelOf", () => {
  const rules = { floorShare: 0.5, watchShare: 0.7, checkpointShare: 0.8 };
  const level = (share: number, leftMs: number | null, checkpointMs = 300) =>
    levelOf(
      { usedBytes: share * LIMIT, limitBytes: LIMIT, timeToLimitMs: leftMs, checkpointMs },
      rules,
    );

  test.each([
    [0.3, null, null],
    [0.3, 10, null],
    [0.6, null, null],
    [0.6, 61_000, null],
    [0.6, 59_000, "watch"],
    [0.6, 900, "freeze"],
    [0.7, null, "watch"],
    [0.8, null, "checkpoint"],
    [0.99, 5_000, "checkpoint"],
    [0.8, 900, "freeze"],
  ] as const)("at %p of the limit with %p ms left it is %p", (share, leftMs, expected) => {
    expect(level(share, leftMs)).toBe(expected);
  });

  test("a checkpoint that takes longer is begun sooner", () => {
    expect(savingMs(2_000)).toBe(4_000);
    expect(level(0.6, 3_900, 2_000)).toBe("freeze");
    expect(level(0.6, 4_100, 2_000)).toBe("watch");
  });

  test("a host is judged by what is left of it", () => {
    const host = (share: number, leftMs: number | null) =>
      levelOf(
        { usedBytes: share * LIMIT, limitBytes: LIMIT, timeToLimitMs: leftMs, checkpointMs: 300 },
        HOST_RULES,
      );
    expect([host(0.6, 10), host(0.8, 30_000), host(0.91, null), host(0.96, null)]).toEqual([
      null,
      "watch",
      "watch",
      "checkpoint",
    ]);
  });

  test("never gets milder when more is in use or less time is left", () => {
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    const left = fc.double({ min: 0, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(share, share, left, left, (one, other, soon, late) => {
        const [low, high] = one < other ? [one, other] : [other, one];
        const [short, long] = soon < late ? [soon, late] : [late, soon];
        expect(rankOf(level(high, short))).toBeGreaterThanOrEqual(rankOf(level(low, long)));
      }),
    );
  });
});

describe("nextPauseMs", () => {
  const pause = (facts: Partial<Parameters<typeof nextPauseMs>[0]>): number =>
    nextPauseMs(
      {
        usedBytes: 0,
        limitBytes: LIMIT,
        bytesPerS: 0,
        notified: false,
        roundCostMs: 0.02,
        ...facts,
      },
      { floorShare: 0.5, watchShare: 0.7, checkpointShare: 0.8 },
    );

  test("is short where memory can be full at once, and long where the kernel tells of it", () => {
    expect(pause({})).toBe(20);
    expect(pause({ limitBytes: 8_000 * MIB })).toBeWithin(500, 600);
    expect(pause({ limitBytes: 64_000 * MIB })).toBe(1_000);
    expect(pause({ notified: true })).toBe(1_000);
    expect(pause({ notified: true, usedBytes: 0.6 * LIMIT })).toBe(1_000);
    const fast = { notified: true, usedBytes: 0.6 * LIMIT };
    expect(pause({ ...fast, bytesPerS: 1e8 })).toBeWithin(100, 110);
    expect(pause({ ...fast, bytesPerS: 4e9 })).toBe(20);
  });

  test("keeps all looks together under half a per cent of a core", () => {
    expect(pause({ roundCostMs: 1 })).toBe(200);
    expect(pause({ roundCostMs: 10 })).toBe(2_000);
  });
});

describe("createLoggedKills", () => {
  const record = (seq: number, text: string, fromKernel = true): KmsgRecord => ({
    seq,
    priority: 3,
    fromKernel,
    atUs: seq * 1_000,
    text,
  });
  const constraint = (pid: number): string =>
    `oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/o,task_memcg=/o/run,task=hog,pid=${pid},uid=0`;
  const killed = (pid: number, name = "hog"): string =>
    `Memory cgroup out of memory: Killed process ${pid} (${name}) total-vm:53876kB, anon-rss:51072kB, file-rss:1324kB, shmem-rss:0kB, UID:0 pgtables:144kB oom_score_adj:0`;
  const kills = (records: KmsgRecord[]) => {
    const take = createLoggedKills({
      parseLine: parseOomLine,
      parseConstraint: parseOomConstraint,
    });
    return records.flatMap((one) => take(one) ?? []);
  };

  test("puts the two lines of a kill together, also when others lie between", () => {
    const found = kills([
      record(1, constraint(7)),
      record(2, constraint(8)),
      record(3, killed(8)),
      record(4, "eth0: link up"),
      record(5, killed(7, "a) b")),
    ]);
    expect(found).toMatchObject([
      { seq: 3, victimPid: 8, victimCgroup: "/o/run", limitCgroup: "/o", global: false },
      { seq: 5, victimPid: 7, comm: "a) b", anonRssBytes: 51_072 * 1_024 },
    ]);
  });

  test("takes a kill whose first line the kernel left out, and none that a program wrote", () => {
    expect(kills([record(1, killed(7))])).toMatchObject([{ victimPid: 7, victimCgroup: null }]);
    expect(kills([record(1, killed(7), false)])).toEqual([]);
  });
});

test("oomEvent says only what is known", () => {
  const proof = { key: "kmsg:17", timeMs: 5.4, sources: ["kmsg" as const], victimPid: 7 };
  expect(oomEvent(proof, { boot: "0a1b2c3d", owner: null })).toEqual({
    kind: "oom_kill",
    source: "kernel",
    id: "oom:0a1b2c3d:kmsg:17",
    timeMs: 5,
    pid: 7,
    data: { sources: ["kmsg"], victim_pid: 7 },
  });
});
