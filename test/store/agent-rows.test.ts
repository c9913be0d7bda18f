// Rows of live agents: kept under their process, with the counter that only one source sets.

import { expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { type AgentRow, createAgentRows } from "../../src/store/agent-rows.ts";
import { migrate } from "../../src/store/migrations.ts";

const ROW: AgentRow = {
  boot: "0a1b2c3d",
  pid: 10,
  startTicks: 99,
  kind: "claude-code",
  ruleKind: "claude-code",
  startedMs: 1_795_000_000_000,
  uid: 1000,
  sessionId: null,
  sessionProven: false,
  workspace: "/w",
  runId: null,
  cgroups: { unified: "/u", memory: "/m", memoryVersion: 1, freezer: null },
  ownCgroup: false,
};

function rows() {
  const database = new Database(":memory:", { strict: true });
  migrate(database);
  return createAgentRows(database);
}

test("put keeps an agent, and replaces it without losing its counter", () => {
  const agents = rows();
  agents.put(ROW);
  expect(agents.all()).toEqual([ROW]);
  expect(agents.oomKills(ROW)).toBeNull();
  agents.setOomKills(ROW, 3);
  const changed = { ...ROW, sessionId: "s", sessionProven: true, ownCgroup: true, runId: "r" };
  agents.put(changed);
  expect(agents.all()).toEqual([changed]);
  expect(agents.oomKills(ROW)).toBe(3);
});

test("a process of another boot or start time is another agent", () => {
  const agents = rows();
  agents.put(ROW);
  agents.put({ ...ROW, boot: "ffffffff" });
  agents.put({ ...ROW, startTicks: 100 });
  agents.setOomKills({ ...ROW, startTicks: 101 }, 5);
  agents.remove(ROW);
  expect(agents.all().map(({ boot, startTicks }) => [boot, startTicks])).toEqual([
    ["ffffffff", 99],
    ["0a1b2c3d", 100],
  ]);
  expect(agents.all().map((row) => agents.oomKills(row))).toEqual([null, null]);
});
