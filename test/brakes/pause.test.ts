// Pauses of real processes: leases, their end, and what others do to a paused agent meanwhile.

import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readStat } from "../../src/kernel/procfs.ts";
import { AWKWARD_TREE, type AgentTree, hasCgroup, startTree } from "../support/agent-tree.ts";
import { codeOf, startBrakes } from "../support/brakes-kit.ts";
import { until } from "../support/daemon.ts";

// A machine that is busy with other tests takes longer for everything.
setDefaultTimeout(30_000);

const hasUnified = hasCgroup("unified");
const hasFreezer = hasCgroup("freezer");

const isRunning = (tree: AgentTree): Promise<true> => {
  const before = tree.cpuTicks();
  return until("the agent runs", () => tree.cpuTicks() > before);
};

async function stands(tree: AgentTree): Promise<boolean> {
  const before = tree.cpuTicks();
  await Bun.sleep(100);
  return tree.cpuTicks() - before <= 1;
}

for (const [method, kind, can] of [
  ["cgroup.freeze", "unified", hasUnified],
  ["freezer", "freezer", hasFreezer],
  ["SIGSTOP", undefined, true],
] as const) {
  test.skipIf(!can)(`${method}: stands until it is resumed, and the lease is on disk`, async () => {
    await using kit = await startBrakes();
    await using tree = await startTree(AWKWARD_TREE, kind);
    await isRunning(tree);
    const lease = await kit.brakes.pause(tree.agent, 60_000);
    expect(lease).toMatchObject({ agentId: tree.agent.id, pid: tree.agent.pid, method });
    expect(lease.untilMs - lease.sinceMs).toBe(60_000);
    expect(kit.brakes.stateOf(tree.agent)).toBe("paused");
    expect(await stands(tree)).toBe(true);
    const path = join(kit.directory, "freezes.json");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const file = JSON.parse(readFileSync(path, "utf8")) as { entries: { kind: string }[] };
    expect(file.entries.map((entry) => entry.kind)).toEqual(["lease"]);
    const renewed = await kit.brakes.pause(tree.agent, 120_000);
    expect(renewed.untilMs).toBeGreaterThan(lease.untilMs);
    expect(renewed.sinceMs).toBe(lease.sinceMs);
    await kit.brakes.resume(tree.agent);
    await isRunning(tree);
    expect(kit.brakes.lease(tree.agent.id)).toBeNull();
    await kit.brakes.resume(tree.agent);
  });

  test.skipIf(!can)(`${method}: ends by itself when the lease is over`, async () => {
    await using kit = await startBrakes();
    await using tree = await startTree(AWKWARD_TREE, kind);
    await kit.brakes.pause(tree.agent, 500);
    expect(tree.isStopped()).toBe(true);
    await isRunning(tree);
    expect(kit.metrics.get("observer_pauses_total", { event: "expired" })).toBe(1);
  });
}

test("SIGSTOP: somebody's SIGCONT is noticed, told, and undone", async () => {
  await using kit = await startBrakes();
  await using tree = await startTree(AWKWARD_TREE);
  await kit.brakes.pause(tree.agent, 60_000);
  for (const pid of tree.pids()) process.kill(pid, "SIGCONT");
  await until("it is told", () => kit.log.lines.some((line) => line.includes("stopped again")));
  await until("it stands again", () => readStat(tree.agent.pid)?.state === "T");
  expect(await stands(tree)).toBe(true);
  // Whoever was born in between is continued too.
  await kit.brakes.resume(tree.agent);
  await until("all run", () => tree.pids().every((pid) => readStat(pid)?.state !== "T"));
});

test.skipIf(!hasUnified)("cgroup.freeze: thawed by somebody else, frozen again", async () => {
  await using kit = await startBrakes();
  await using tree = await startTree(AWKWARD_TREE, "unified");
  await kit.brakes.pause(tree.agent, 60_000);
  writeFileSync(join(tree.directory ?? "", "cgroup.freeze"), "0");
  await until(
    "it is told",
    () => kit.metrics.get("observer_pauses_total", { event: "restopped" }) === 1,
  );
  expect(await stands(tree)).toBe(true);
});

test.skipIf(!hasUnified)("a freeze that is under way gives way to the pause", async () => {
  await using kit = await startBrakes();
  await using tree = await startTree(AWKWARD_TREE, "unified");
  const freeze = kit.brakes.freeze(tree.agent, 300);
  await kit.brakes.pause(tree.agent, 60_000);
  freeze?.thaw();
  expect(await stands(tree)).toBe(true);
  await Bun.sleep(300);
  expect(await stands(tree)).toBe(true);
  await kit.brakes.resume(tree.agent);
  await isRunning(tree);
});

test("SIGSTOP: a pause over a freeze continues whoever the freeze had stopped", async () => {
  await using kit = await startBrakes();
  await using tree = await startTree(AWKWARD_TREE);
  kit.brakes.freeze(tree.agent, 200);
  await kit.brakes.pause(tree.agent, 60_000);
  await Bun.sleep(300);
  expect(await stands(tree)).toBe(true);
  await kit.brakes.resume(tree.agent);
  await until("all run", () => tree.pids().every((pid) => readStat(pid)?.state !== "T"));
  await isRunning(tree);
});

test("an agent that dies while it is paused loses its lease, and its children go on", async () => {
  await using kit = await startBrakes();
  await using tree = await startTree(AWKWARD_TREE);
  await isRunning(tree);
  await kit.brakes.pause(tree.agent, 60_000);
  process.kill(tree.agent.pid, "SIGKILL");
  await until("the lease is gone", () => kit.brakes.lease(tree.agent.id) === null);
  expect(kit.metrics.get("observer_pauses_total", { event: "gone" })).toBe(1);
  await isRunning(tree);
});

test("is refused for a wrong start time, a bad duration, and observer's own tree", async () => {
  await using kit = await startBrakes();
  await using tree = await startTree("sleep 1001 & wait");
  const { agent } = tree;
  const other = { ...agent, startTicks: agent.startTicks - 1 };
  expect(await codeOf(kit.brakes.pause(other, 1_000))).toBe("vanished");
  expect(await codeOf(kit.brakes.pause(agent, 0))).toBe("invalid");
  expect(await codeOf(kit.brakes.pause(agent, Number.NaN))).toBe("invalid");
  const self = { ...agent, pid: process.pid, startTicks: readStat(process.pid)?.startTicks ?? 0 };
  expect(await codeOf(kit.brakes.pause(self, 1_000))).toBe("unsupported");
  expect(readStat(agent.pid)?.state).toMatch(/[SRD]/);
});

test("a list that cannot be written refuses the pause, and the agent runs", async () => {
  await using kit = await startBrakes();
  await using tree = await startTree(AWKWARD_TREE);
  await using broken = await startBrakes({ directory: join(kit.directory, "missing") });
  expect(await codeOf(broken.brakes.pause(tree.agent, 1_000))).toBe("failed");
  expect(broken.brakes.lease(tree.agent.id)).toBeNull();
  await isRunning(tree);
});
