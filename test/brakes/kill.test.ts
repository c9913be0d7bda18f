// Killing real trees: all of it, nothing else, and with proof.

import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { asUid, canBeNobody, NOBODY, until } from "../support/daemon.ts";
import { agentId } from "../../src/core/agent.ts";
import { readStat } from "../../src/kernel/procfs.ts";
import { AWKWARD_PROCESSES, AWKWARD_TREE, hasCgroup, startTree } from "../support/agent-tree.ts";
import { codeOf, startBrakes } from "../support/brakes-kit.ts";

// A machine that is busy with other tests takes longer for everything.
setDefaultTimeout(30_000);

const hasUnified = hasCgroup("unified");
const hasFreezer = hasCgroup("freezer");
const KINDS = [
  ["cgroup.kill", "unified", hasUnified],
  ["the v1 freezer", "freezer", hasFreezer],
  ["signals", undefined, true],
] as const;
const GRACE_MS = 150;

for (const [name, kind, can] of KINDS) {
  test.skipIf(!can)(
    `${name}: setsid, TERM-ignoring and double-forked children go too`,
    async () => {
      await using kit = await startBrakes();
      await using bystander = await startTree("sleep 1001 & wait");
      await using tree = await startTree(AWKWARD_TREE, kind);
      await until(
        "all are there, and TERM is ignored",
        () => tree.pids().length > AWKWARD_PROCESSES,
      );
      const before = tree.pids();
      const report = await kit.brakes.kill(tree.agent, GRACE_MS);
      expect(tree.pids()).toEqual([]);
      expect(report).toMatchObject({ agentId: tree.agent.id, survivors: [] });
      expect(report.pids[0]).toBe(tree.agent.pid);
      expect(report.pids.length).toBeGreaterThanOrEqual(AWKWARD_PROCESSES);
      expect(report.durationMs).toBeGreaterThanOrEqual(GRACE_MS);
      // Only the one that ignores TERM, and what it started, needed force.
      expect(report.killed.length).toBeGreaterThan(0);
      expect(report.killed).not.toContain(tree.agent.pid);
      expect(kit.brakes.endedByUs(tree.agent)).toBe(true);
      expect(kit.brakes.endedByUs({ ...tree.agent, startTicks: 1 })).toBe(false);
      expect(before).toContain(tree.agent.pid);
      expect(bystander.pids().length).toBe(2);
      expect(await codeOf(kit.brakes.kill(tree.agent, 0))).toBe("vanished");
    },
  );

  test.skipIf(!can)(`${name}: one that goes by itself after TERM is not killed`, async () => {
    await using kit = await startBrakes();
    await using tree = await startTree("sleep 1001 & wait", kind);
    const report = await kit.brakes.kill(tree.agent, 10_000);
    expect(report.killed).toEqual([]);
    expect(report.durationMs).toBeLessThan(10_000);
  });

  test.skipIf(!can)(`${name}: a paused agent can act on TERM, and its lease ends`, async () => {
    await using kit = await startBrakes();
    const marker = join(kit.directory, "farewell");
    await using tree = await startTree(
      `trap 'echo bye > ${marker}; exit 0' TERM; while :; do sleep 0.05; done`,
      kind,
    );
    await until("its trap is set", () => tree.pids().length === 2);
    await kit.brakes.pause(tree.agent, 60_000);
    const report = await kit.brakes.kill(tree.agent, 10_000);
    expect(report.survivors).toEqual([]);
    expect(await Bun.file(marker).text()).toBe("bye\n");
    expect(kit.brakes.lease(tree.agent.id)).toBeNull();
    expect(kit.brakes.stateOf(tree.agent)).toBe("running");
  });

  test.skipIf(!can)(
    `${name}: one that starts a process every 5 ms is ended completely`,
    async () => {
      await using kit = await startBrakes();
      // Each child outlives its parent, ignores TERM, and leaves no trace but its session.
      await using tree = await startTree(
        `trap '' TERM; while :; do ( sleep 1001 & ) ; sleep 0.005; done`,
        kind,
      );
      await until("it has begun", () => tree.pids().length > 10);
      const report = await kit.brakes.kill(tree.agent, 100);
      expect(tree.pids()).toEqual([]);
      expect(report.pids.length).toBeGreaterThan(10);
      expect(report.killed).toContain(tree.agent.pid);
    },
  );
}

test("a frozen agent is killed, and the freeze is over", async () => {
  await using kit = await startBrakes();
  await using tree = await startTree(AWKWARD_TREE, hasFreezer ? "freezer" : undefined);
  const freeze = kit.brakes.freeze(tree.agent, 2_900);
  await kit.brakes.kill(tree.agent, 50);
  expect(tree.pids()).toEqual([]);
  expect(freeze?.thaw()).toBeLessThan(2_900);
});

test("a stopped agent of somebody else's doing is killed too", async () => {
  await using kit = await startBrakes();
  await using tree = await startTree("sleep 1001 & wait");
  for (const pid of tree.pids()) process.kill(pid, "SIGSTOP");
  const report = await kit.brakes.kill(tree.agent, 5_000);
  expect(report.killed).toEqual([]);
  expect(tree.pids()).toEqual([]);
});

test("the wrong start time is refused, and nothing is signalled", async () => {
  await using kit = await startBrakes();
  await using tree = await startTree("sleep 1001 & wait");
  const { pid, startTicks } = tree.agent;
  const other = { ...tree.agent, startTicks: startTicks + 1 };
  expect(await codeOf(kit.brakes.kill(other, 0))).toBe("vanished");
  expect(readStat(pid)?.state).toMatch(/[SRD]/);
  expect(kit.brakes.endedByUs({ pid, startTicks })).toBe(false);
  expect(kit.metrics.get("observer_kills_total", { outcome: "vanished" })).toBe(1);
});

test("process 1, kernel threads, observer, its ancestors and the guardian are refused", async () => {
  await using kit = await startBrakes();
  await using tree = await startTree("sleep 1001 & wait");
  const refused = async (pid: number): Promise<void> => {
    const startTicks = readStat(pid)?.startTicks ?? 0;
    const agent = { ...tree.agent, pid, startTicks, id: agentId({ pid, startTicks }) };
    expect(await codeOf(kit.brakes.kill(agent, 0))).toBe("unsupported");
  };
  await refused(1);
  await refused(process.pid);
  await refused(readStat(process.pid)?.ppid ?? 1);
  const line = kit.log.lines.find((one) => one.includes("guardian started"));
  await refused(Number(/"pid":(\d+)/.exec(line ?? "")?.[1]));
  if (readStat(2)?.comm === "kthreadd") await refused(2);
  expect(kit.metrics.get("observer_kills_total", { outcome: "unsupported" })).toBeGreaterThan(3);
});

test("without a guardian a tree is killed all the same", async () => {
  await using kit = await startBrakes({ guardianCommand: ["/nonexistent"] });
  await using tree = await startTree(AWKWARD_TREE);
  await kit.brakes.kill(tree.agent, 50);
  expect(tree.pids()).toEqual([]);
});

test("another user's agent is not ours to brake: the uid is named", async () => {
  if (!canBeNobody()) return;
  await using tree = await startTree("sleep 1001 & wait");
  const program = join(import.meta.dir, "../support/brakes-refused.ts");
  const child = Bun.spawn(asUid(NOBODY, [process.execPath, program, JSON.stringify(tree.agent)]), {
    env: { PATH: "/usr/bin:/bin" },
    cwd: "/",
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  expect(err).toBe("");
  const said = JSON.parse(out) as Record<string, { code: string; message: string }>;
  for (const act of ["pause", "kill"]) {
    expect(said[act]?.code).toBe("not_permitted");
    expect(said[act]?.message).toContain("uid 0");
  }
  expect(readStat(tree.agent.pid)?.state).toMatch(/[SRD]/);
});
