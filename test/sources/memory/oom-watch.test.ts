// Real kills for want of memory in real cgroups: each source tells, with the victim, the limit and whose it was.

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { CgroupDirectories } from "../../../src/core/agent.ts";
import { limitMemory } from "../../../src/kernel/cgroup-control.ts";
import { readOomKills } from "../../../src/kernel/cgroup-memory.ts";
import { startWatcher, type Watcher } from "../../../src/kernel/watcher.ts";
import { type OomWatch, startOomWatch } from "../../../src/sources/memory/oom-watch.ts";
import { openCgroups, until } from "../../support/cgroups.ts";
import { agentOf, createFakeRegistry } from "../../support/live-agents.ts";
import { commonDeps, createFacts, createSink, expectNone, HOG, MIB } from "./support.ts";

const LIMIT = 96 * MIB;
const kit = openCgroups();
const canKill = kit !== undefined && kit.parents.memory !== null;
if (!canKill) console.log("skipped: real kills need a memory cgroup");
let watcher: Watcher;
let watches: OomWatch[] = [];

beforeAll(async () => {
  watcher = await startWatcher({ onError: (message) => console.log(message) });
});
afterEach(() => {
  for (const watch of watches) watch.stop();
  watches = [];
});
afterAll(async () => {
  await watcher.stop();
  await kit?.close();
});

function limited(name: string): CgroupDirectories {
  const directories = kit?.make(name) as CgroupDirectories;
  limitMemory(directories, LIMIT);
  return directories;
}

/** Runs a hog in the cgroup until the kernel has killed it. */
async function killOne(directories: CgroupDirectories): Promise<number> {
  const hog = kit?.spawn(directories, HOG);
  await hog?.exited;
  expect(hog?.signalCode).toBe("SIGKILL");
  return hog?.pid ?? 0;
}

function start(deps: Partial<Parameters<typeof startOomWatch>[0]>): OomWatch {
  const sink = createSink();
  const watch = startOomWatch({
    ...commonDeps(),
    cgroupParent: "observer-00000000",
    registry: createFakeRegistry(),
    watcher,
    offer: sink.offer,
    facts: createFacts(),
    onSignal: () => undefined,
    ...deps,
  });
  watches.push(watch);
  return watch;
}

describe.skipIf(!canKill)("startOomWatch", () => {
  test("tells of one kill by the log and by the cgroup's counter", async () => {
    const directories = limited("joined");
    const { drafts, offer } = createSink();
    const registry = createFakeRegistry(agentOf(1, directories));
    const signals: string[] = [];
    start({ registry, offer, onSignal: (directory) => signals.push(directory) });
    const pid = await killOne(directories);
    // Other tests may have kills of their own at the same time.
    const ours = () => drafts.filter(({ data }) => data["cgroup"] === directories.memory);
    await until(() => ours().length >= 2);
    const logged = ours().find(({ data }) => (data["sources"] as string[])[0] === "kmsg");
    const counted = ours().find(({ data }) => (data["sources"] as string[])[0] !== "kmsg");
    expect(logged).toMatchObject({
      kind: "oom_kill",
      source: "kernel",
      pid,
      sessionId: "s1",
      agent: "codex",
      data: {
        victim_pid: pid,
        constraint: "memcg",
        cgroup: directories.memory,
        memory_limit_bytes: LIMIT,
      },
    });
    expect(logged?.data["memory_usage_bytes"]).toBeGreaterThan(0.9 * LIMIT);
    expect(counted).toMatchObject({
      kind: "oom_kill",
      sessionId: "s1",
      data: { constraint: "memcg", cgroup: directories.memory, memory_limit_bytes: LIMIT },
    });
    expect(counted?.data["memory_usage_bytes"]).toBeGreaterThan(0.9 * LIMIT);
    const counter = directories.memoryVersion === 1 ? "memory.oom_control" : "memory.events";
    expect(drafts.flatMap(({ data }) => data["sources"])).toContain(counter);
    expect(drafts.flatMap(({ data }) => data["sources"])).toContain("vmstat");
    expect(signals).toContain(directories.memory ?? "");
    expect(Math.abs((logged?.timeMs ?? 0) - (counted?.timeMs ?? 0))).toBeLessThan(1_000);
  });

  test("tells of a kill while it was down once, with one time, and never again", async () => {
    const directories = limited("down");
    const facts = createFacts();
    const registry = createFakeRegistry(agentOf(1, directories));
    const never = createSink();
    start({ registry, facts, offer: never.offer }).stop();
    expectNone(never.drafts);
    const pid = await killOne(directories);
    await until(() => readOomKills(directories.memory ?? "", directories.memoryVersion ?? 1) === 1);

    const later = createSink();
    start({ registry, facts, offer: later.offer }).stop();
    const ours = later.drafts.filter(({ data }) => data["cgroup"] === directories.memory);
    expect(ours.map(({ data }) => (data["sources"] as string[])[0])).toEqual([
      "kmsg",
      directories.memoryVersion === 1 ? "memory.oom_control" : "memory.events",
    ]);
    expect(ours[0]).toMatchObject({ pid, sessionId: "s1" });
    expect(ours[1]?.timeMs).toBe(ours[0]?.timeMs ?? 0);
    await Bun.sleep(10);

    const again = createSink();
    start({ registry, facts, offer: again.offer }).stop();
    expectNone(again.drafts.filter(({ data }) => data["cgroup"] === directories.memory));
  });

  test("attributes a kill while it was down to an agent that is gone", async () => {
    const directories = limited("gone");
    const facts = createFacts();
    start({ registry: createFakeRegistry(agentOf(1, directories)), facts }).stop();
    await Bun.sleep(10);
    const pid = await killOne(directories);
    const { drafts, offer } = createSink();
    start({ facts, offer });
    await until(() => drafts.some((draft) => draft.pid === pid));
    expect(drafts.find((draft) => draft.pid === pid)).toMatchObject({
      sessionId: "s1",
      agent: "codex",
    });
  });

  test("without the waiting thread it polls both", async () => {
    const directories = limited("polled");
    const { drafts, offer } = createSink();
    start({ registry: createFakeRegistry(agentOf(1, directories)), offer, watcher: null });
    const pid = await killOne(directories);
    await until(
      () => drafts.filter(({ data }) => data["cgroup"] === directories.memory).length >= 2,
    );
    expect(drafts.some((draft) => draft.pid === pid)).toBe(true);
  });

  test("reports the kill of a process that is nobody's, without a session", async () => {
    const directories = limited("nobody");
    const { drafts, offer } = createSink();
    start({ offer });
    const pid = await killOne(directories);
    await until(() => drafts.some((draft) => draft.pid === pid));
    const found = drafts.find((draft) => draft.pid === pid);
    expect(found?.sessionId).toBeUndefined();
    expect(found?.data["agent_pid"]).toBeUndefined();
  });

  test("counts each kill of several, and survives that the cgroup is removed", async () => {
    const directories = limited("several");
    const { drafts, offer } = createSink();
    const agent = agentOf(1, directories);
    const registry = createFakeRegistry(agent);
    start({ registry, offer });
    const pids = [await killOne(directories), await killOne(directories)];
    await until(
      () => drafts.filter(({ data }) => data["cgroup"] === directories.memory).length >= 4,
    );
    const ours = drafts.filter(({ data }) => data["cgroup"] === directories.memory);
    expect(ours.flatMap(({ pid }) => pid ?? [])).toEqual(pids);
    registry.tell("gone", agent);
  });
});
