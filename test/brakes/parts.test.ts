// The pure parts of the brakes: messages, trees, own cgroups, who is protected, the list on disk, the ward.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createEnded } from "../../src/brakes/ended.ts";
import {
  leaseEndIn,
  parseFreezeList,
  readFreezeList,
  writeFreezeList,
} from "../../src/brakes/freeze-list.ts";
import { ownPlaces } from "../../src/brakes/guardian-cgroup.ts";
import {
  addLines,
  announceLines,
  beginLine,
  createLineCutter,
  LINE_BYTES_MAX,
  parseCommand,
  parseReport,
  type Report,
  reportLine,
} from "../../src/brakes/guardian-protocol.ts";
import { chooseTarget } from "../../src/brakes/method.ts";
import { upToRun } from "../../src/brakes/own-cgroup.ts";
import { whyProtected } from "../../src/brakes/refusal.ts";
import { parseTarget, type Target } from "../../src/brakes/target.ts";
import { growTree, startTree as startMemory } from "../../src/brakes/tree.ts";
import { createWard } from "../../src/brakes/ward.ts";
import type { Agent, ProcessId } from "../../src/core/agent.ts";
import type { ProcessStat } from "../../src/kernel/structs/proc-stat.ts";
import { startBrakes } from "../support/brakes-kit.ts";
import { createFakeClock } from "../support/clock.ts";
import { until } from "../support/daemon.ts";
import { withTempDirectory } from "../support/temp-directory.ts";

const FROZEN: Target = {
  agent: "12-345",
  root: { pid: 12, startTicks: 345 },
  method: "cgroup.freeze",
  path: "/sys/fs/cgroup/observer-0/run-a/cgroup.freeze",
  processes: [],
};
const STOPPED: Target = { ...FROZEN, method: "SIGSTOP", path: null };

const ids = fc.array(
  fc.record({ pid: fc.integer({ min: 1, max: 4_194_304 }), startTicks: fc.nat() }),
  { maxLength: 800 },
);

describe("messages", () => {
  test("an announcement and its processes arrive as they were sent, in lines that are written whole", () => {
    fc.assert(
      fc.property(ids, fc.nat(), fc.integer({ min: 1 }), (processes, capMs, slot) => {
        const lines =
          announceLines({ slot, target: { ...STOPPED, processes }, capMs, untilMs: null }) ?? [];
        for (const line of lines) expect(line.length).toBeLessThanOrEqual(LINE_BYTES_MAX);
        const got: ProcessId[] = [];
        const cut = createLineCutter((line) => {
          const command = parseCommand(line);
          if (command?.kind === "add") got.push(...command.processes);
          else if (command?.kind === "announce")
            expect(command.announcement).toEqual({ slot, target: STOPPED, capMs, untilMs: null });
          else throw new Error(`no command: ${line}`);
        });
        for (const byte of [Buffer.from(lines.join(""))]) cut(byte);
        expect(got).toEqual(processes);
      }),
      { numRuns: 50 },
    );
  });

  test("what is no command is none, and never throws", () => {
    fc.assert(fc.property(fc.string(), (line) => void parseCommand(line)));
    for (const line of ["", "A {}", "A null", "F 0", "F -1", "F 1 2", "P 1 2", "P 1 0:3", "X 1"])
      expect(parseCommand(line)).toBeNull();
    expect(parseCommand(beginLine(7).trim())).toEqual({ kind: "begin", slot: 7 });
  });

  test("the line of the reflex fits the waiting thread", () => {
    expect(beginLine(Number.MAX_SAFE_INTEGER).length).toBeLessThanOrEqual(56);
  });

  test("a path that fits no line is not announced", () => {
    const path = `/sys/${"x".repeat(LINE_BYTES_MAX)}/cgroup.freeze`;
    expect(
      announceLines({ slot: 1, target: { ...FROZEN, path }, capMs: 1, untilMs: null }),
    ).toBeNull();
    expect(addLines(1, [])).toEqual([]);
  });

  test("reports arrive as they were sent", () => {
    const reports: Report[] = [
      { kind: "ready", moved: ["memory"], stuck: ["unified: no"] },
      { kind: "heard", slot: 3 },
      { kind: "thawed", slot: 4, ms: 2_900 },
      { kind: "trouble", slot: 5, reason: "it hangs" },
    ];
    for (const report of reports) expect(parseReport(reportLine(report).trimEnd())).toEqual(report);
    fc.assert(fc.property(fc.string(), (line) => void parseReport(line)));
  });
});

describe("targets from outside", () => {
  test("only freeze files are written to", () => {
    expect(parseTarget(FROZEN)).toEqual(FROZEN);
    expect(parseTarget(STOPPED)).toEqual(STOPPED);
    for (const path of [
      "/etc/passwd",
      "/sys/fs/cgroup/a/../../../../etc/cgroup.freeze",
      "cgroup.freeze",
      "/cgroup.freeze",
      "/a\n/cgroup.freeze",
      "/sys/fs/cgroup/a/freezer.state",
      null,
    ])
      expect(parseTarget({ ...FROZEN, path })).toBeNull();
    expect(parseTarget({ ...STOPPED, path: FROZEN.path })).toBeNull();
    expect(parseTarget({ ...STOPPED, root: { pid: 0, startTicks: 1 } })).toBeNull();
    fc.assert(fc.property(fc.anything(), (value) => void parseTarget(value)));
  });
});

function stat(pid: number, ppid: number, more: Partial<ProcessStat> = {}): ProcessStat {
  return {
    pid,
    ppid,
    comm: "x",
    state: "S",
    pgrp: 1,
    session: 1,
    tty: 0,
    startTicks: pid * 10,
    utimeTicks: 0,
    stimeTicks: 0,
    rssPages: 0,
    exitStatus: null,
    ...more,
  };
}

const pidsOf = (stats: ProcessStat[]): number[] =>
  stats.map(({ pid }) => pid).sort((one, other) => one - other);

describe("the tree", () => {
  const root = { pid: 10, startTicks: 100 };

  test("holds descendants, and orphans in sessions that a member leads", () => {
    const memory = startMemory(root);
    const processes = [
      stat(1, 0),
      stat(10, 1, { session: 10 }),
      stat(11, 10, { session: 10 }),
      stat(12, 1, { session: 10 }),
      stat(13, 12, { session: 13 }),
      stat(14, 1, { session: 13 }),
      stat(20, 1, { session: 20 }),
      stat(21, 1, { session: 1, pgrp: 10 }),
    ];
    expect(pidsOf(growTree(memory, processes))).toEqual([10, 11, 12, 13, 14]);
    // The agent and its session's leader end: their orphans are still known.
    const later = processes.filter(({ pid }) => pid !== 10 && pid !== 13);
    expect(pidsOf(growTree(memory, [...later, stat(15, 1, { session: 13 })]))).toEqual([
      11, 12, 14, 15,
    ]);
  });

  test("a number that was reused is not taken for the one before", () => {
    const memory = startMemory(root);
    expect(growTree(memory, [stat(10, 1, { startTicks: 101 }), stat(11, 10)])).toEqual([]);
    // A child that is older than its parent is another's.
    expect(pidsOf(growTree(memory, [stat(10, 1), stat(11, 10, { startTicks: 50 })]))).toEqual([10]);
    // A session whose number has a new leader is a new session.
    const led = startMemory(root);
    growTree(led, [stat(10, 1, { session: 10 })]);
    const reused = [stat(10, 1, { startTicks: 999, session: 10 }), stat(30, 1, { session: 10 })];
    expect(growTree(led, reused)).toEqual([]);
  });

  test("circles of parents end", () => {
    const memory = startMemory(root);
    const circle = [stat(10, 12), stat(11, 10), stat(12, 11, { startTicks: 200 })];
    expect(pidsOf(growTree(memory, circle))).toEqual([10, 11, 12]);
  });
});

describe("who is never braked", () => {
  const processes = [
    stat(1, 0),
    stat(2, 0, { comm: "kthreadd" }),
    stat(3, 2, { comm: "kworker" }),
    stat(40, 1),
    stat(50, 40),
    stat(60, 50),
    stat(70, 1),
  ];
  const protectors = { self: 50, guardian: { pid: 60, startTicks: 600 } };

  test("init, observer and its ancestors, the guardian, kernel threads", () => {
    for (const pid of [1, 2, 3, 40, 50, 60])
      expect(whyProtected([70, pid], processes, protectors)).not.toBeNull();
    expect(whyProtected([70], processes, protectors)).toBeNull();
  });

  test("process 2 of a container is as good as any", () => {
    const inside = [stat(1, 0), stat(2, 1), stat(3, 2), stat(50, 1)];
    expect(whyProtected([2, 3], inside, { self: 50, guardian: null })).toBeNull();
  });
});

describe("the agent's own cgroup", () => {
  test("is the part that is named after the run, and nothing else", () => {
    expect(upToRun("/sys/fs/cgroup/x/observer-1/run-abc", "abc")).toBe(
      "/sys/fs/cgroup/x/observer-1/run-abc",
    );
    expect(upToRun("/c/observer-1/run-abc/docker/1", "abc")).toBe("/c/observer-1/run-abc");
    expect(upToRun("/c/user.slice/observer-run-abc.scope", "abc")).toBe(
      "/c/user.slice/observer-run-abc.scope",
    );
    for (const path of [
      "/c/user.slice/session-1.scope",
      "/c/run-abcd",
      "/c/xrun-abc",
      "/",
      "",
      null,
    ])
      expect(upToRun(path, "abc")).toBeNull();
  });

  const agent = {
    id: "10-100",
    pid: 10,
    startTicks: 100,
    runId: "abc",
    ownCgroup: true,
    cgroups: {
      unified: "/u/observer-1/run-abc",
      freezer: "/f/observer-1/run-abc",
      memory: null,
      memoryVersion: null,
    },
  } as Agent;
  const look = (can: (string | null)[], pids = [10]): Parameters<typeof chooseTarget>[1] => ({
    processesIn: () => pids,
    freezeFile: ({ unified, freezer }) =>
      can.includes(unified ?? freezer)
        ? {
            path: `${unified ?? freezer}/f`,
            method: unified === null ? "freezer" : "cgroup.freeze",
            frozen: new Uint8Array(),
            thawed: new Uint8Array(),
          }
        : null,
  });
  const { unified, freezer } = agent.cgroups;

  test("v2 first, then v1, then signals", () => {
    expect(chooseTarget(agent, look([unified, freezer])).method).toBe("cgroup.freeze");
    expect(chooseTarget(agent, look([freezer])).method).toBe("freezer");
    expect(chooseTarget(agent, look([])).method).toBe("SIGSTOP");
  });

  test("is not used for an agent that left it, and never for one that has none", () => {
    expect(chooseTarget(agent, look([unified, freezer], [99])).method).toBe("SIGSTOP");
    expect(chooseTarget({ ...agent, ownCgroup: false }, look([unified])).method).toBe("SIGSTOP");
    expect(chooseTarget({ ...agent, runId: "other" }, look([unified])).method).toBe("SIGSTOP");
  });
});

test("the guardian finds its place in every hierarchy, named ones too", () => {
  const mountinfo = [
    "30 20 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
    "31 20 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd",
    "32 20 0:28 /docker/1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
    "33 20 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
    "34 20 0:30 / /proc rw - proc proc rw",
  ].join("\n");
  const cgroup = [
    "12:name=systemd:/system.slice/observer.service",
    "5:memory:/docker/1/x",
    "3:cpu,cpuacct:/",
    "2:pids:/a",
    "0::/../outside",
  ].join("\n");
  expect(ownPlaces(mountinfo, cgroup)).toEqual([
    {
      hierarchy: "name=systemd",
      mountPoint: "/sys/fs/cgroup/systemd",
      directory: "/sys/fs/cgroup/systemd/system.slice/observer.service",
    },
    {
      hierarchy: "memory",
      mountPoint: "/sys/fs/cgroup/memory",
      directory: "/sys/fs/cgroup/memory/x",
    },
    {
      hierarchy: "cpu,cpuacct",
      mountPoint: "/sys/fs/cgroup/cpu,cpuacct",
      directory: "/sys/fs/cgroup/cpu,cpuacct",
    },
  ]);
});

describe("the list on disk", () => {
  const file = {
    bootId: "boot",
    guardian: { pid: 5, startTicks: 50 },
    entries: [
      { kind: "lease", target: STOPPED, sinceMs: 1, untilMs: 1_000 },
      { kind: "freeze", target: FROZEN, sinceMs: 2, untilMs: 3 },
    ],
  } as const;

  test("is read as it was written, and tells the end of a lease", async () => {
    await withTempDirectory((directory) => {
      const path = join(directory, "freezes.json");
      expect(readFreezeList(path)).toBeNull();
      writeFreezeList(path, { ...file, entries: [...file.entries] }, true);
      const read = readFreezeList(path);
      expect(read as unknown).toEqual(file);
      expect(leaseEndIn(read, { agent: "12-345", bootId: "boot" })).toBe(1_000);
      expect(leaseEndIn(read, { agent: "1-1", bootId: "boot" })).toBeNull();
      expect(leaseEndIn(read, { agent: "12-345", bootId: "other" })).toBeUndefined();
      expect(leaseEndIn(null, { agent: "12-345", bootId: "boot" })).toBeUndefined();
    });
  });

  test("what is not ours is not used", async () => {
    fc.assert(fc.property(fc.string(), (text) => void parseFreezeList(text)));
    fc.assert(fc.property(fc.json(), (text) => void parseFreezeList(text)));
    await withTempDirectory((directory) => {
      const path = join(directory, "freezes.json");
      const unusable = (): boolean => {
        const read = readFreezeList(path);
        return read !== null && "unusable" in read;
      };
      writeFileSync(path, "{");
      expect(unusable()).toBe(true);
      writeFileSync(path, '{"version":1,"boot_id":"b","entries":[{"kind":"lease"}]}');
      expect(unusable()).toBe(true);
      writeFreezeList(path, { ...file, entries: [...file.entries] }, false);
      expect(unusable()).toBe(false);
      chmodSync(path, 0o666);
      expect(unusable()).toBe(true);
      symlinkSync(path, join(directory, "link"));
      expect(readFreezeList(join(directory, "link"))).toMatchObject({});
      mkdirSync(join(directory, "directory"));
      expect(readFreezeList(join(directory, "directory"))).toMatchObject({
        unusable: "no regular file",
      });
    });
  });

  test("a corrupt one is set aside, told, and in nobody's way", async () => {
    await withTempDirectory(async (directory) => {
      const path = join(directory, "freezes.json");
      writeFileSync(path, "not json at all");
      await using kit = await startBrakes({ directory });
      expect(kit.log.lines.some((line) => line.startsWith("warn freeze list cannot be used"))).toBe(
        true,
      );
      expect(existsSync(`${path}.unusable`)).toBe(true);
      expect(kit.brakes.capability().state).not.toBe("missing");
      await until("a new one is written", () => {
        const read = readFreezeList(path);
        return read !== null && "entries" in read;
      });
    });
  });

  test("one of another boot is nobody's", async () => {
    await withTempDirectory(async (directory) => {
      const path = join(directory, "freezes.json");
      writeFreezeList(path, { ...file, entries: [...file.entries] }, false);
      await using kit = await startBrakes({ directory });
      expect(kit.brakes.lease("12-345")).toBeNull();
    });
  });
});

describe("the ward", () => {
  const untilMs = null;
  function ward(leaseEnd: (agent: string) => number | null | undefined = () => null) {
    const clock = createFakeClock();
    const freed: string[] = [];
    const said: string[] = [];
    const made = createWard({
      clock,
      leaseEnd,
      report: (report) => void said.push(reportLine(report).trimEnd()),
      letGoSurely: async (target) => {
        freed.push(target.method);
        await Promise.resolve();
        return null;
      },
    });
    return { ...made, clock, freed, said };
  }

  test("a freeze that began is over at its cap; one that did not is forgotten", async () => {
    const { take, orphaned, freed, said } = ward();
    take({ kind: "announce", announcement: { slot: 1, target: FROZEN, capMs: 20, untilMs } });
    take({ kind: "announce", announcement: { slot: 2, target: STOPPED, capMs: 20, untilMs } });
    take({ kind: "begin", slot: 1 });
    await until("it is freed", () => freed.length === 1);
    expect(said).toEqual(["a 1", "a 2", "t 1 0"]);
    await orphaned();
    expect(freed).toEqual(["cgroup.freeze"]);
  });

  test("forgotten is not freed, released is; an orphan frees at once", async () => {
    const { take, orphaned, freed } = ward();
    for (const slot of [1, 2, 3]) {
      take({ kind: "announce", announcement: { slot, target: FROZEN, capMs: 2_900, untilMs } });
      take({ kind: "begin", slot });
    }
    take({ kind: "forget", slot: 1 });
    expect(freed.length).toBe(0);
    take({ kind: "release", slot: 2 });
    expect(freed.length).toBe(1);
    await orphaned();
    expect(freed.length).toBe(2);
  });

  test("a freeze of an agent that is paused leaves it to the lease", async () => {
    const { take, orphaned, freed, clock } = ward(() => null);
    const lease = { slot: 1, target: STOPPED, capMs: null, untilMs: clock.now() + 30 };
    take({ kind: "announce", announcement: lease });
    take({ kind: "announce", announcement: { slot: 2, target: STOPPED, capMs: 10, untilMs } });
    take({ kind: "begin", slot: 2 });
    await Bun.sleep(30);
    expect(freed).toEqual([]);
    clock.advance(50);
    // The file knows no lease any more: somebody else has ended it.
    await orphaned();
    expect(freed).toEqual([]);
  });

  test("at its end a lease is looked up: renewed, ended, or over", async () => {
    for (const [inFile, freedTimes] of [
      [null, 0],
      [undefined, 1],
      [0, 1],
    ] as const) {
      const { take, orphaned, freed, clock } = ward(() => inFile);
      const lease = { slot: 1, target: FROZEN, capMs: null, untilMs: clock.now() - 1 };
      take({ kind: "announce", announcement: lease });
      await orphaned();
      expect(freed.length).toBe(freedTimes);
    }
    const renewed = ward(() => Number.MAX_SAFE_INTEGER);
    const announcement = { slot: 1, target: FROZEN, capMs: null, untilMs: renewed.clock.now() - 1 };
    renewed.take({ kind: "announce", announcement });
    const over = await Promise.race([renewed.orphaned().then(() => true), Bun.sleep(20)]);
    expect(over).toBeUndefined();
    renewed.take({ kind: "forget", slot: 1 });
  });
});

test("whom observer ended is remembered for a minute", () => {
  const clock = createFakeClock();
  const ended = createEnded(clock);
  ended.remember({ pid: 1, startTicks: 2 });
  clock.advance(59_000);
  expect(ended.has({ pid: 1, startTicks: 2 })).toBe(true);
  expect(ended.has({ pid: 1, startTicks: 3 })).toBe(false);
  clock.advance(2_000);
  expect(ended.has({ pid: 1, startTicks: 2 })).toBe(false);
  for (let pid = 1; pid <= 20_000; pid++) ended.remember({ pid, startTicks: pid });
  expect(ended.has({ pid: 5, startTicks: 5 })).toBe(false);
  expect(ended.has({ pid: 20_000, startTicks: 20_000 })).toBe(true);
});
