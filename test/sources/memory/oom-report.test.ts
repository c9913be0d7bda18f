// Proofs as events where the kernel tells less: counters of v2 in a tree of files, and hosts without a readable log.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CgroupMounts } from "../../../src/kernel/cgroup.ts";
import { startWatcher, type Watcher } from "../../../src/kernel/watcher.ts";
import { type CountedKill, createCounterWatch } from "../../../src/sources/memory/counter-watch.ts";
import { createMemorySource } from "../../../src/sources/memory/memory-source.ts";
import { createOomMemory } from "../../../src/sources/memory/oom-memory.ts";
import { createOomReport } from "../../../src/sources/memory/oom-report.ts";
import { until, writeCgroupTree } from "../../support/cgroups.ts";
import { agentOf, createFakeRegistry } from "../../support/live-agents.ts";
import { withTempDirectory } from "../../support/temp-directory.ts";
import { commonDeps, createFacts, createSink, MIB } from "./support.ts";

let watcher: Watcher;
beforeAll(async () => {
  watcher = await startWatcher({ onError: (message) => console.log(message) });
});
afterAll(() => watcher.stop());

const events = (kills: number, reached = kills): string =>
  `low 0\nhigh 0\nmax 3\noom ${reached}\noom_kill ${kills}\noom_group_kill 0\n`;

for (const signalled of [true, false]) {
  test(`the counter of v2 tells of each kill, ${signalled ? "by its signal" : "by polling"}`, () =>
    withTempDirectory(async (root) => {
      const directory = join(root, "agent");
      mkdirSync(directory);
      writeCgroupTree(root, {
        "agent/memory.events": events(2),
        "agent/memory.current": `${10 * MIB}\n`,
        "agent/memory.max": `${64 * MIB}\n`,
        "agent/memory.peak": `${64 * MIB}\n`,
        "agent/memory.stat": "inactive_file 0\n",
      });
      const kills: CountedKill[] = [];
      const signals: string[] = [];
      const counters = createCounterWatch({
        ...commonDeps(),
        watcher: signalled ? watcher : null,
        onKill: (kill) => kills.push(kill),
        onSignal: (at) => signals.push(at),
      });
      const started = counters.add({ directory, version: 2, since: () => null });
      expect(started?.kills).toBe(2);
      writeFileSync(join(directory, "memory.events"), events(4));
      await until(() => kills.length === 2);
      expect(
        kills.map(({ kills: count, constraint, missed }) => [count, constraint, missed]),
      ).toEqual([
        [3, "memcg", false],
        [4, "memcg", false],
      ]);
      expect(kills[0]?.sample).toEqual({ limitBytes: 64 * MIB, usageBytes: 64 * MIB });
      expect(signals.length > 0).toBe(signalled);
      counters.stop();
    }));
}

test("without the log a death by SIGKILL is explained by the host's count, once", () =>
  withTempDirectory(async (root) => {
    const vmstat = join(root, "vmstat");
    writeFileSync(vmstat, "oom_kill 5\n");
    const common = commonDeps();
    const { drafts, offer } = createSink();
    const report = createOomReport({
      ...common,
      cgroupParent: "observer-00000000",
      registry: createFakeRegistry(agentOf(7, {})),
      offer,
      memory: createOomMemory(common.boot, { facts: createFacts(), log: common.log }),
      vmstat,
    });
    report.exit({ pid: 7, atMs: 5_000 });
    await Bun.sleep(400);
    expect(drafts).toEqual([]);
    writeFileSync(vmstat, "oom_kill 6\n");
    report.exit({ pid: 7, atMs: 6_000 });
    report.exit({ pid: 99, atMs: 6_000 });
    await until(() => drafts.length > 0);
    await Bun.sleep(400);
    expect(drafts.map(({ id, pid, sessionId, timeMs }) => [id, pid, sessionId, timeMs])).toEqual([
      [`oom:${common.boot}:vmstat:6`, 7, "s1", 6_000],
    ]);
    expect(drafts[0]?.data["sources"]).toEqual(["vmstat"]);
  }));

test("memoryOf says what an agent uses, of its own cgroup or of its processes", () =>
  withTempDirectory(async (root) => {
    const directory = join(root, "agent");
    mkdirSync(directory);
    writeCgroupTree(root, {
      "agent/memory.current": `${10 * MIB}\n`,
      "agent/memory.max": `${64 * MIB}\n`,
      "agent/memory.stat": `inactive_file ${4 * MIB}\n`,
    });
    const stat = await Bun.file("/proc/self/stat").text();
    const startTicks = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
    const own = agentOf(101, { memory: directory, memoryVersion: 2 });
    const ourselves = agentOf(process.pid, {}, { startTicks, id: "we", ownCgroup: false });
    const common = commonDeps();
    const noMounts: CgroupMounts = {
      unified: null,
      memory: null,
      memoryVersion: null,
      freezer: null,
    };
    const source = createMemorySource(
      {
        watchPercent: 70,
        checkpointPercent: 80,
        freeze: true,
        freezeCapMs: 3_000,
        cgroupParent: "observer-00000000",
      },
      {
        ...common,
        mounts: noMounts,
        registry: createFakeRegistry(own, ourselves),
        watcher: null,
        freezer: null,
        offer: createSink().offer,
        facts: createFacts(),
        canSave: () => null,
      },
    );
    source.start();
    expect(source.memoryOf(own.id)).toEqual({
      rssBytes: 6 * MIB,
      usageBytes: expect.any(Number),
      limitBytes: 64 * MIB,
      timeToLimitMs: null,
    });
    expect(source.memoryOf("we")?.rssBytes).toBeGreaterThan(10 * MIB);
    expect(source.memoryOf("we")?.limitBytes).toBeNull();
    expect(source.memoryOf("9-9")).toBeNull();
    source.stop();
  }));

test("a run that was killed before anyone told of it is known by the name of its cgroup", () => {
  const common = commonDeps();
  const { drafts, offer } = createSink();
  const place = { mountPoint: "/sys/fs/cgroup/memory", root: "/" };
  const mount = { ...place, version: 1 as const, controllers: ["memory"], readOnly: false };
  const report = createOomReport({
    ...common,
    mounts: { unified: null, memory: mount, memoryVersion: 1, freezer: null },
    cgroupParent: "observer-00000000",
    registry: createFakeRegistry(),
    offer,
    memory: createOomMemory(common.boot, { facts: createFacts(), log: common.log }),
  });
  const kill = {
    atUs: 1,
    comm: "hog",
    global: false,
    anonRssBytes: 1,
    totalVmBytes: 2,
    limitCgroup: null,
  };
  const at = (seq: number, victimCgroup: string): void =>
    report.logged({ ...kill, seq, victimPid: seq, victimCgroup }, { timeMs: 1, missed: false });
  at(11, "/a/observer-00000000/run-abc1");
  at(12, "/a/observer-11111111/run-abc1");
  at(13, "/a/observer-00000000/run-abc1/below");
  expect(drafts.map(({ sessionId }) => sessionId)).toEqual(["run-abc1", undefined, undefined]);
});
