// Real processes that fill a real limit, slowly and fast: told in time, stopped in time, let go again.

import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Agent, CgroupDirectories } from "../../../src/core/agent.ts";
import type { Offer } from "../../../src/core/contracts.ts";
import type { EventDraft } from "../../../src/core/event.ts";
import type { Interruption } from "../../../src/core/interruption.ts";
import { limitMemory } from "../../../src/kernel/cgroup-control.ts";
import { readUsage } from "../../../src/kernel/cgroup-memory.ts";
import { startWatcher, type Watcher } from "../../../src/kernel/watcher.ts";
import { createFreezeHolds, type ReleaseFreeze } from "../../../src/sources/memory/freeze-holds.ts";
import {
  type PressureWatch,
  startPressureWatch,
} from "../../../src/sources/memory/pressure-watch.ts";
import { createCgroupFreezer } from "../../support/cgroup-freezer.ts";
import { openCgroups, until, writeCgroupTree } from "../../support/cgroups.ts";
import { agentOf, createFakeRegistry } from "../../support/live-agents.ts";
import { withTempDirectory } from "../../support/temp-directory.ts";
import { commonDeps, createSink, MIB } from "./support.ts";

// Processes fill memory at a pace that a busy machine may slow down.
setDefaultTimeout(30_000);

const LIMIT = 256 * MIB;
const HOG = join(import.meta.dir, "../../support/programs/hog.ts");
const kit = openCgroups();
const canLimit = kit !== undefined && kit.parents.memory !== null;
if (!canLimit) console.log("skipped: real pressure needs a memory cgroup");
let watcher: Watcher;
const stops: (() => void)[] = [];

beforeAll(async () => {
  watcher = await startWatcher({ onError: (message) => console.log(message) });
});
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});
afterAll(async () => {
  await watcher.stop();
  await kit?.close();
});

interface Rig {
  watch: PressureWatch;
  drafts: EventDraft[];
  freezer: ReturnType<typeof createCgroupFreezer>;
  metrics: ReturnType<typeof commonDeps>["metrics"];
  /** Release functions of the checkpoints that began. */
  saving: ReleaseFreeze[];
}

interface RigOptions {
  armed?: boolean;
  /** Whether a checkpoint follows a freeze. */
  saves?: boolean;
  watcher?: Watcher | null;
  freezer?: boolean;
}

/** A pressure watch whose checkpoints begin as policy would order them, and last until they are released. */
function rig(agents: Agent[], options: RigOptions = {}): Rig {
  const { armed = true, saves = true } = options;
  const common = commonDeps();
  const registry = createFakeRegistry(...agents);
  const holds = createFreezeHolds({ ...common, registry, capMs: 5_000 });
  const freezer = createCgroupFreezer();
  const sink = createSink();
  const saving: ReleaseFreeze[] = [];
  const offer: Offer = async (drafts) => {
    const receipts = await sink.offer(
      drafts.map((draft, i) => ({ id: `${sink.drafts.length + i}`, ...draft })),
    );
    const worth = drafts.filter(({ data }) => data["level"] !== "watch");
    for (const { data, pid, kind } of saves && armed ? worth : []) {
      const release = holds.hold({ type: kind, pid, detail: data } as unknown as Interruption);
      if (release) saving.push(release);
    }
    return receipts;
  };
  const watch = startPressureWatch({
    ...common,
    registry,
    holds,
    offer,
    watcher: options.watcher === undefined ? watcher : options.watcher,
    freezer: options.freezer === false ? null : freezer,
    canSave: () => (armed ? { workspace: "/w", checkpointMs: 100 } : null),
    watchPercent: 70,
    checkpointPercent: 80,
    freeze: true,
    freezeCapMs: 3_000,
  });
  stops.push(() => {
    watch.stop();
    holds.stop();
    for (const freeze of freezer.freezes) freeze.thaw();
  });
  return { watch, drafts: sink.drafts, freezer, metrics: common.metrics, saving };
}

function limited(name: string): { directories: CgroupDirectories; agent: Agent } {
  const directories = kit?.make(name) as CgroupDirectories;
  limitMemory(directories, LIMIT);
  return { directories, agent: agentOf(process.pid, directories) };
}

const hog = (directories: CgroupDirectories, rateMb: number, totalMb = 100_000) =>
  kit?.spawn(directories, `exec ${process.execPath} ${HOG} ${rateMb} ${totalMb}`);

const levels = (drafts: EventDraft[]): unknown[] => drafts.map(({ data }) => data["level"]);

describe.skipIf(!canLimit)("startPressureWatch", () => {
  test("tells of a slow fill level by level, and stops nobody who can be saved in time", async () => {
    const { directories, agent } = limited("slow");
    const { drafts, freezer } = rig([agent]);
    // Below half nothing is told, however fast.
    const base = hog(directories, 2_000, 40);
    await Bun.sleep(300);
    expect(drafts).toEqual([]);
    const child = hog(directories, 20);
    await until(() => levels(drafts).includes("checkpoint"));
    for (const one of [base, child]) one?.kill("SIGKILL");
    expect(levels(drafts)).toEqual(["watch", "checkpoint"]);
    const [first] = drafts;
    expect(first).toMatchObject({
      kind: "memory_pressure",
      source: "kernel",
      pid: process.pid,
      sessionId: "s1",
      data: { cgroup: directories.memory, limit_bytes: LIMIT },
    });
    expect(first?.data["usage_bytes"]).toBeGreaterThan(0.5 * LIMIT);
    expect(first?.data["fill_bytes_per_s"]).toBeGreaterThan(10 * MIB);
    expect(first?.data["time_to_limit_ms"]).toBeGreaterThan(500);
    expect(freezer.isFrozen(agent)).toBe(false);
  });

  test("stops a fast fill below its limit until the checkpoint is done", async () => {
    const { directories, agent } = limited("fast");
    const { drafts, freezer, saving, metrics } = rig([agent]);
    const child = hog(directories, 2_000);
    await until(() => saving.length > 0);
    await until(() => freezer.isFrozen(agent));
    const use = (): number =>
      readUsage(directories.memory ?? "", directories.memoryVersion ?? 1) ?? 0;
    const standing = use();
    await Bun.sleep(150);
    expect(child?.exitCode).toBeNull();
    // The kernel returns what it charged ahead; the hog would have taken 300 MiB.
    expect(Math.abs(use() - standing)).toBeLessThan(MIB);
    expect(drafts.at(-1)?.data).toMatchObject({
      level: "freeze",
      freeze_id: freezer.freezes.at(-1)?.id,
    });
    expect(saving[0]?.()?.frozenMs).toBeGreaterThan(100);
    expect(metrics.get("observer_memory_freezes_total", { outcome: "saved" })).toBe(1);
    await child?.exited;
    expect(child?.signalCode).toBe("SIGKILL");
  });

  test("lets an agent go on at once when no checkpoint follows", async () => {
    const { directories, agent } = limited("unclaimed");
    const { freezer, metrics } = rig([agent], { saves: false });
    const child = hog(directories, 1_000, 230);
    await until(() => metrics.get("observer_memory_freezes_total", { outcome: "unclaimed" }) > 0);
    expect(freezer.isFrozen(agent)).toBe(false);
    child?.kill("SIGKILL");
  });

  test("lets an agent go on at once whose use is page cache", async () => {
    await withTempDirectory(async (directory) => {
      const { directories, agent } = limited("cache");
      const { drafts, freezer } = rig([agent]);
      const file = join(directory, "file");
      // Read again and again it would count as in use; written once it can be dropped.
      const child = kit?.spawn(
        directories,
        `head -c ${300 * MIB} /dev/zero > ${file}; exec sleep 60`,
      );
      await until(() => (readUsage(directories.memory ?? "", 1) ?? 0) > 0.9 * LIMIT);
      await Bun.sleep(100);
      expect(freezer.isFrozen(agent)).toBe(false);
      expect(levels(drafts)).not.toContain("freeze");
      child?.kill("SIGKILL");
    });
  });

  test("stops nobody when no checkpoint could follow, and where nothing can be stopped", async () => {
    for (const options of [{ armed: false }, { freezer: false }]) {
      const { directories, agent } = limited(`unarmed-${options.armed ?? "none"}`);
      const { drafts, freezer } = rig([agent], options);
      await hog(directories, 500)?.exited;
      expect(freezer.freezes).toEqual([]);
      expect(levels(drafts)).toContain("checkpoint");
      expect(levels(drafts)).not.toContain("freeze");
    }
  });

  test("samples where there is no waiting thread", async () => {
    const { directories, agent } = limited("sampled");
    const { drafts, freezer, saving } = rig([agent], { watcher: null });
    const child = hog(directories, 300);
    await until(() => saving.length > 0);
    await until(() => freezer.isFrozen(agent));
    expect(levels(drafts)).toContain("freeze");
    for (const release of saving) release();
    await child?.exited;
  });
});

test("a limit of v2 is followed in a tree of files, and its agents are told of", () =>
  withTempDirectory(async (root) => {
    const directory = join(root, "agent");
    const put = (bytes: number): void =>
      writeFileSync(join(directory, "memory.current"), `${bytes}\n`);
    mkdirSync(directory);
    writeCgroupTree(root, {
      "agent/memory.current": `${10 * MIB}\n`,
      "agent/memory.max": `${LIMIT}\n`,
      "agent/memory.stat": `inactive_file ${4 * MIB}\n`,
      "agent/memory.pressure": "some avg10=12.50 avg60=0.00 avg300=0.00 total=0\n",
    });
    const cgroups = { memory: directory, memoryVersion: 2 as const };
    const one = agentOf(101, cgroups);
    const other = agentOf(102, cgroups, { sessionId: "s2" });
    const { watch, drafts } = rig([one, other], { freezer: false });
    put(0.75 * LIMIT + 4 * MIB);
    watch.signalled(directory);
    await until(() => drafts.length >= 2);
    expect(drafts.map(({ pid, sessionId }) => [pid, sessionId])).toEqual([
      [101, "s1"],
      [102, "s2"],
    ]);
    expect(drafts[0]?.data).toMatchObject({
      cgroup: directory,
      usage_bytes: 0.75 * LIMIT,
      limit_bytes: LIMIT,
      psi_some_avg10: 12.5,
    });
    expect(watch.useOf(one.id)?.limit?.limitBytes).toBe(LIMIT);
    expect(watch.useOf("9-9")).toBeNull();
  }));
