// Freezing real processes: by each method, up to the cap, by reflex, and with a guardian that dies.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeSync } from "node:fs";
import { join } from "node:path";
import { readFreezeList } from "../../src/brakes/freeze-list.ts";
import { isFrozen } from "../../src/kernel/cgroup-control.ts";
import { readStat } from "../../src/kernel/procfs.ts";
import { AWKWARD_TREE, type AgentTree, hasCgroup, startTree } from "../support/agent-tree.ts";
import { codeOf, startBrakes } from "../support/brakes-kit.ts";
import { until } from "../support/daemon.ts";

// A machine that is busy with other tests takes longer for everything.
setDefaultTimeout(30_000);

const hasUnified = hasCgroup("unified");
const hasFreezer = hasCgroup("freezer");
const METHODS = [
  ["cgroup.freeze", "unified", hasUnified],
  ["freezer", "freezer", hasFreezer],
  ["SIGSTOP", undefined, true],
] as const;

/** Twelve ticks of the kernel's accounting; one may be of the moment before. */
const LOOK_MS = 120;

const isRunning = (tree: AgentTree): Promise<true> => {
  const before = tree.cpuTicks();
  return until("the agent runs", () => tree.cpuTicks() > before);
};

async function ticksIn(tree: AgentTree): Promise<number> {
  const before = tree.cpuTicks();
  await Bun.sleep(LOOK_MS);
  return tree.cpuTicks() - before;
}

describe("freeze()", () => {
  for (const [method, kind, can] of METHODS) {
    test.skipIf(!can)(
      `${method}: no process of the tree gets processor time until thaw()`,
      async () => {
        await using kit = await startBrakes();
        await using tree = await startTree(AWKWARD_TREE, kind);
        await isRunning(tree);
        const freeze = kit.brakes.freeze(tree.agent, 2_500);
        expect(freeze?.method).toBe(method);
        expect(kit.brakes.stateOf(tree.agent)).toBe("frozen");
        expect(await ticksIn(tree)).toBeLessThanOrEqual(1);
        const stoodMs = freeze?.thaw() ?? 0;
        expect(stoodMs).toBeGreaterThanOrEqual(LOOK_MS);
        expect(freeze?.thaw()).toBe(stoodMs);
        await isRunning(tree);
        expect(kit.brakes.stateOf(tree.agent)).toBe("running");
        expect(kit.metrics.get("observer_freezes_total", { method, outcome: "thawed" })).toBe(1);
      },
    );

    test.skipIf(!can)(`${method}: over at the cap, nobody thaws`, async () => {
      await using kit = await startBrakes();
      await using tree = await startTree(AWKWARD_TREE, kind);
      await isRunning(tree);
      const freeze = kit.brakes.freeze(tree.agent, 200);
      expect(freeze).not.toBeNull();
      await until("it is over", () => kit.brakes.stateOf(tree.agent) === "running");
      await isRunning(tree);
      expect(freeze?.thaw()).toBeGreaterThanOrEqual(150);
      expect(kit.metrics.get("observer_freezes_total", { method, outcome: "capped" })).toBe(1);
    });
  }

  test("who was stopped by somebody else before is not continued", async () => {
    await using kit = await startBrakes();
    await using tree = await startTree("sleep 1001 & wait");
    const [, child = 0] = await until(
      "it has a child",
      () => tree.pids().length === 2 && tree.pids(),
    );
    process.kill(child, "SIGSTOP");
    await until("the child stands", () => readStat(child)?.state === "T");
    kit.brakes.freeze(tree.agent, 2_000)?.thaw();
    await until("the agent runs", () => readStat(tree.agent.pid)?.state !== "T");
    expect(readStat(child)?.state).toBe("T");
  });

  test("is refused for one that is gone, is paused, stands already, or holds observer", async () => {
    await using kit = await startBrakes();
    await using tree = await startTree("sleep 1001 & wait");
    const { agent } = tree;
    expect(kit.brakes.freeze({ ...agent, startTicks: agent.startTicks + 1 }, 500)).toBeNull();
    const self = readStat(process.pid);
    expect(kit.brakes.freeze({ ...agent, ...self, pid: process.pid }, 500)).toBeNull();
    const parent = readStat(self?.ppid ?? 0);
    expect(kit.brakes.freeze({ ...agent, ...parent, pid: self?.ppid ?? 0 }, 500)).toBeNull();
    const freeze = kit.brakes.freeze(agent, 2_000);
    expect(freeze).not.toBeNull();
    expect(kit.brakes.freeze(agent, 2_000)).toBeNull();
    freeze?.thaw();
    await kit.brakes.pause(agent, 60_000);
    expect(kit.brakes.freeze(agent, 500)).toBeNull();
    await kit.brakes.resume(agent);
    expect(
      kit.metrics.get("observer_freezes_total", { method: "SIGSTOP", outcome: "refused" }),
    ).toBe(5);
  });
});

describe("reflex()", () => {
  const perform = (steps: { fd: number; bytes: Uint8Array }[]): void => {
    for (const { fd, bytes } of steps) writeSync(fd, bytes);
  };

  test.skipIf(!hasUnified)("two short writes stop it; taken() makes it a freeze", async () => {
    await using kit = await startBrakes();
    await using tree = await startTree(AWKWARD_TREE, "unified");
    await isRunning(tree);
    const reflex = kit.brakes.reflex(tree.agent, 2_500);
    expect(reflex?.steps.length).toBe(2);
    for (const { bytes } of reflex?.steps ?? []) expect(bytes.length).toBeLessThanOrEqual(56);
    await until("it is on disk", () => {
      const list = readFreezeList(join(kit.directory, "freezes.json"));
      return list !== null && "entries" in list && list.entries[0]?.kind === "armed";
    });
    expect(kit.brakes.stateOf(tree.agent)).toBe("running");
    perform(reflex?.steps ?? []);
    const freeze = reflex?.taken(Date.now());
    expect(await ticksIn(tree)).toBeLessThanOrEqual(1);
    expect(kit.brakes.stateOf(tree.agent)).toBe("frozen");
    expect(freeze?.thaw()).toBeGreaterThanOrEqual(LOOK_MS - 20);
    await isRunning(tree);
  });

  test.skipIf(!hasUnified)(
    "performed, but observer is busy: the guardian ends it at the cap",
    async () => {
      await using kit = await startBrakes();
      await using tree = await startTree(AWKWARD_TREE, "unified");
      await isRunning(tree);
      const reflex = kit.brakes.reflex(tree.agent, 200);
      perform(reflex?.steps ?? []);
      // Nobody calls taken(), so observer's own timer does not run.
      await isRunning(tree);
      const freeze = reflex?.taken(Date.now() - 1_000);
      freeze?.thaw();
      expect(kit.brakes.stateOf(tree.agent)).toBe("running");
    },
  );

  test.skipIf(!hasUnified)("dispose() withdraws it; one by signals is never armed", async () => {
    await using kit = await startBrakes();
    await using tree = await startTree("sleep 1001 & wait", "unified");
    const reflex = kit.brakes.reflex(tree.agent, 500);
    reflex?.dispose();
    reflex?.dispose();
    expect(kit.brakes.reflex({ ...tree.agent, ownCgroup: false }, 500)).toBeNull();
    await until("the list is empty", () => {
      const list = readFreezeList(join(kit.directory, "freezes.json"));
      return list !== null && "entries" in list && list.entries.length === 0;
    });
  });

  test.skipIf(!hasUnified)(
    "stays good when the guardian is replaced, and fails while there is none",
    async () => {
      await using kit = await startBrakes();
      await using tree = await startTree(AWKWARD_TREE, "unified");
      const reflex = kit.brakes.reflex(tree.agent, 2_500);
      const steps = reflex?.steps ?? [];
      const first = guardianPid(kit.log.lines);
      process.kill(first, "SIGKILL");
      await until("a write fails or a new guardian hears it", () => {
        try {
          writeSync(steps[0]?.fd ?? -1, "\n");
          return guardianPid(kit.log.lines) !== first;
        } catch {
          return true;
        }
      });
      await until("there is a new guardian", () => guardianPid(kit.log.lines) !== first);
      perform(steps);
      const freeze = reflex?.taken(Date.now());
      expect(await ticksIn(tree)).toBeLessThanOrEqual(1);
      freeze?.thaw();
      await isRunning(tree);
    },
  );
});

describe("the guardian", () => {
  test.skipIf(!hasUnified)(
    "dies: what stands goes on at once, and the next one serves",
    async () => {
      await using kit = await startBrakes();
      await using tree = await startTree(AWKWARD_TREE, "unified");
      await isRunning(tree);
      const first = guardianPid(kit.log.lines);
      expect(kit.brakes.freeze(tree.agent, 2_900)).not.toBeNull();
      process.kill(first, "SIGKILL");
      await isRunning(tree);
      expect(kit.metrics.get("observer_guardian_restarts_total", { reason: "died" })).toBe(1);
      await until("there is a new guardian", () => guardianPid(kit.log.lines) !== first);
      const again = kit.brakes.freeze(tree.agent, 2_900);
      expect(again).not.toBeNull();
      again?.thaw();
    },
  );

  test.skipIf(!hasUnified)(
    "is stopped by somebody: found out, replaced, nothing stays frozen",
    async () => {
      await using kit = await startBrakes();
      await using tree = await startTree(AWKWARD_TREE, "unified");
      const first = guardianPid(kit.log.lines);
      process.kill(first, "SIGSTOP");
      expect(kit.brakes.freeze(tree.agent, 2_900)).not.toBeNull();
      await until("it is replaced", () => guardianPid(kit.log.lines) !== first);
      expect(kit.metrics.get("observer_guardian_restarts_total", { reason: "silent" })).toBe(1);
      await isRunning(tree);
      expect(
        isFrozen({ path: join(tree.directory ?? "", "cgroup.freeze"), method: "cgroup.freeze" }),
      ).toBe(false);
    },
  );

  test("cannot be started: nothing is stopped, and doctor hears why", async () => {
    await using kit = await startBrakes({ guardianCommand: ["/nonexistent"] });
    await using tree = await startTree("sleep 1001 & wait");
    expect(kit.brakes.capability().state).toBe("missing");
    expect(kit.brakes.freeze(tree.agent, 500)).toBeNull();
    expect(await codeOf(kit.brakes.pause(tree.agent, 500))).toBe("failed");
  });

  test("ignores TERM, INT and HUP, and ends with observer", async () => {
    const kit = await startBrakes();
    const pid = guardianPid(kit.log.lines);
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.kill(pid, signal);
    await Bun.sleep(50);
    expect(readStat(pid)?.session).toBe(pid);
    await kit[Symbol.asyncDispose]();
    await until("it ends", () => (readStat(pid)?.state ?? "Z") === "Z");
  });
});

function guardianPid(lines: string[]): number {
  const line = lines.findLast((one) => one.startsWith("info guardian started"));
  return Number(/"pid":(\d+)/.exec(line ?? "")?.[1]);
}
