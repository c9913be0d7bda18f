// Observer dies while an agent stands: by SIGKILL, and with its whole cgroup. The guardian lets the agent go on.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readFreezeList } from "../../src/brakes/freeze-list.ts";
import { findCgroupMounts } from "../../src/kernel/cgroup.ts";
import { listPids, readCommandLine, readStat } from "../../src/kernel/procfs.ts";
import { AWKWARD_TREE, type AgentTree, hasCgroup, startTree } from "../support/agent-tree.ts";
import { startBrakes, startDriver } from "../support/brakes-kit.ts";
import { until } from "../support/daemon.ts";

// A machine that is busy with other tests takes longer for everything.
setDefaultTimeout(30_000);

const hasUnified = hasCgroup("unified");
const hasFreezer = hasCgroup("freezer");
const LONG = process.env["OBSERVER_TEST_LONG"] === "1";
const TIMES = LONG ? 100 : 10;
const TIMEOUT_MS = LONG ? 600_000 : 60_000;
/** What is promised. */
const GO_ON_MS = 1_000;

async function withDirectory<T>(run: (directory: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), "observer-brakes-"));
  try {
    return await run(directory);
  } finally {
    await until("its guardian has ended", () => guardiansOf(directory).length === 0);
    rmSync(directory, { recursive: true, force: true });
  }
}

function guardiansOf(directory: string): number[] {
  return listPids().filter((pid) => {
    const words = readCommandLine(pid) ?? [];
    return words.includes("__guardian") && words.some((word) => word.startsWith(directory));
  });
}

/** Milliseconds until the kernel says that it does not stand any more; then it gets processor time too. */
async function goesOnAfter(tree: AgentTree): Promise<number> {
  const sinceMs = performance.now();
  await until("the agent goes on", () => !tree.isStopped());
  const tookMs = performance.now() - sinceMs;
  const before = tree.cpuTicks();
  await until("the agent runs", () => tree.cpuTicks() > before);
  return tookMs;
}

/** Writes another end of the only lease into the list. */
async function endLeaseAt(directory: string, untilMs: number): Promise<void> {
  const path = join(directory, "freezes.json");
  const text = await Bun.file(path).text();
  await Bun.write(path, text.replace(/"until_ms":\d+/, `"until_ms":${untilMs}`));
}

const stands = async (tree: AgentTree): Promise<boolean> => {
  const before = tree.cpuTicks();
  await Bun.sleep(60);
  return tree.cpuTicks() - before <= 1;
};

describe("observer is killed with -9 while an agent stands", () => {
  for (const [act, kind, can] of [
    ["freeze", "unified", hasUnified],
    ["reflex", "unified", hasUnified],
    ["freeze", "freezer", hasFreezer],
    ["freeze", undefined, true],
  ] as const) {
    const times = act === "freeze" && kind === "unified" ? TIMES : LONG ? TIMES : 2;
    test.skipIf(!can)(
      `${act}, ${kind ?? "signals"}: it goes on within a second, ${times} times`,
      async () => {
        await withDirectory(async (directory) => {
          await using tree = await startTree(AWKWARD_TREE, kind);
          const took: number[] = [];
          for (let time = 0; time < times; time++) {
            const driver = await startDriver({ directory, agent: tree.agent, act, ms: 2_900 });
            expect(await stands(tree)).toBe(true);
            driver.kill("SIGKILL");
            await driver.exited;
            took.push(await goesOnAfter(tree));
          }
          console.log(
            `${act}, ${kind ?? "signals"}: went on after at most ${Math.ceil(Math.max(...took))} ms`,
          );
          expect(Math.max(...took)).toBeLessThan(GO_ON_MS);
        });
      },
      TIMEOUT_MS,
    );
  }
});

describe("observer's whole cgroup is killed", () => {
  test.skipIf(!hasUnified)("the guardian is outside of it", async () => {
    const top = findCgroupMounts().unified?.mountPoint ?? "";
    const service = join(top, `observer-test-service-${process.pid}`);
    mkdirSync(service);
    await withDirectory(async (directory) => {
      await using tree = await startTree(AWKWARD_TREE, "unified");
      const driver = await startDriver({
        directory,
        agent: tree.agent,
        act: "freeze",
        ms: 2_900,
        enter: join(service, "cgroup.procs"),
      });
      expect(await stands(tree)).toBe(true);
      const guardians = guardiansOf(directory);
      expect(guardians.length).toBe(1);
      writeFileSync(join(service, "cgroup.kill"), "1");
      await driver.exited;
      expect(await goesOnAfter(tree)).toBeLessThan(GO_ON_MS);
      await until("its guardian has ended", () => guardiansOf(directory).length === 0);
    });
    await until("the cgroup is empty", () => {
      rmdirSync(service);
      return true;
    });
  });
});

describe("a pause outlives observer", () => {
  test.skipIf(!hasUnified)(
    "the next observer takes it over, and relieves the old guardian",
    async () => {
      await withDirectory(async (directory) => {
        await using tree = await startTree(AWKWARD_TREE, "unified");
        const driver = await startDriver({
          directory,
          agent: tree.agent,
          act: "pause",
          ms: 600_000,
        });
        const [old = 0] = guardiansOf(directory);
        driver.kill("SIGKILL");
        await driver.exited;
        expect(await stands(tree)).toBe(true);
        await using kit = await startBrakes({ directory });
        const lease = kit.brakes.lease(tree.agent.id);
        expect(lease?.pid).toBe(tree.agent.pid);
        expect((lease?.untilMs ?? 0) - Date.now()).toBeGreaterThan(500_000);
        expect(kit.brakes.stateOf(tree.agent)).toBe("paused");
        await until("the old guardian is relieved", () => (readStat(old)?.state ?? "Z") === "Z");
        expect(await stands(tree)).toBe(true);
        await kit.brakes.resume(tree.agent);
        await goesOnAfter(tree);
        expect(kit.brakes.lease(tree.agent.id)).toBeNull();
      });
    },
  );

  for (const [kind, can] of [
    ["unified", hasUnified],
    [undefined, true],
  ] as const) {
    test.skipIf(!can)(`nobody comes back: the guardian ends it, ${kind ?? "signals"}`, async () => {
      await withDirectory(async (directory) => {
        await using tree = await startTree(AWKWARD_TREE, kind);
        const driver = await startDriver({ directory, agent: tree.agent, act: "pause", ms: 2_000 });
        driver.kill("SIGKILL");
        await driver.exited;
        expect(tree.isStopped()).toBe(true);
        await goesOnAfter(tree);
      });
    });
  }

  test.skipIf(!hasUnified)("it was over while observer was away: ended at the start", async () => {
    await withDirectory(async (directory) => {
      await using tree = await startTree(AWKWARD_TREE, "unified");
      const driver = await startDriver({ directory, agent: tree.agent, act: "pause", ms: 60_000 });
      // Both die: nobody can end it before the next observer.
      for (const pid of guardiansOf(directory)) process.kill(pid, "SIGSTOP");
      driver.kill("SIGKILL");
      await driver.exited;
      for (const pid of guardiansOf(directory)) process.kill(pid, "SIGKILL");
      await endLeaseAt(directory, Date.now() - 1);
      expect(await stands(tree)).toBe(true);
      await using kit = await startBrakes({ directory });
      await goesOnAfter(tree);
      expect(kit.brakes.lease(tree.agent.id)).toBeNull();
      expect(kit.metrics.get("observer_pauses_total", { event: "expired" })).toBe(1);
    });
  });

  // Its timing is known from the ward's own test; here are five seconds of the real thing.
  test.skipIf(!hasUnified || !LONG)(
    "a renewed lease is not ended by the guardian of before",
    async () => {
      await withDirectory(async (directory) => {
        await using tree = await startTree(AWKWARD_TREE, "unified");
        const driver = await startDriver({ directory, agent: tree.agent, act: "pause", ms: 3_000 });
        // It will know of no other end than this one, unless it looks at the file.
        driver.kill("SIGKILL");
        await driver.exited;
        const untilMs = Date.now() + 5_000;
        await endLeaseAt(directory, untilMs);
        while (Date.now() < untilMs - 300) {
          expect(tree.isStopped()).toBe(true);
          await Bun.sleep(20);
        }
        await goesOnAfter(tree);
      });
    },
  );
});

describe("observer and its guardian die together", () => {
  test.skipIf(!hasUnified)("the next start of observer lets the agent go on", async () => {
    await withDirectory(async (directory) => {
      await using tree = await startTree(AWKWARD_TREE, "unified");
      const driver = await startDriver({ directory, agent: tree.agent, act: "freeze", ms: 2_900 });
      for (const pid of guardiansOf(directory)) process.kill(pid, "SIGSTOP");
      await until("it is on disk", () => {
        const list = readFreezeList(join(directory, "freezes.json"));
        return list !== null && "entries" in list && list.entries[0]?.kind === "freeze";
      });
      driver.kill("SIGKILL");
      await driver.exited;
      for (const pid of guardiansOf(directory)) process.kill(pid, "SIGKILL");
      expect(await stands(tree)).toBe(true);
      await using kit = await startBrakes({ directory });
      await goesOnAfter(tree);
      expect(kit.brakes.stateOf(tree.agent)).toBe("running");
    });
  });
});
