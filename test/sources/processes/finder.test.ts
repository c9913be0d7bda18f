// What the finder and the registry keep of trees, whatever the order and the number of the kernel's reports.

import { expect, test } from "bun:test";
import { agentId } from "../../../src/core/agent.ts";
import { createFinder } from "../../../src/sources/processes/finder.ts";
import { createHost } from "../../../src/sources/processes/host.ts";
import type { AgentRecord } from "../../../src/sources/processes/record.ts";
import { createRecords } from "../../../src/sources/processes/registry.ts";
import { NO_TIES } from "../../../src/sources/processes/ties.ts";
import { identityOf } from "./kit.ts";

const recordsOf = () =>
  createRecords({ now: () => 1, ownPid: 1, parentOf: () => null, parentName: "observer-0" });

function addAgent(records: ReturnType<typeof recordsOf>, pid: number): AgentRecord {
  const { startTicks } = identityOf(pid);
  const id = agentId({ pid, startTicks });
  const record = {
    agent: { id, pid, startTicks },
    ruleKind: "claude-code",
    runAbove: null,
    ties: NO_TIES,
    endedMs: null,
  } as unknown as AgentRecord;
  records.add(record);
  records.setMember(pid, { startTicks, agentId: id, kind: "claude-code", goneMs: null });
  return record;
}

test("heardFork: a report that comes after the agent was named takes nothing from it", () => {
  const records = recordsOf();
  const { agent } = addAgent(records, process.pid);
  const finder = createFinder({
    host: { ...createHost(), pid: 1 },
    records,
    userRules: [],
    selfCommand: [],
    now: () => 1,
    onFound: () => undefined,
    onExec: () => undefined,
  });
  finder.heardFork(4_194_001, process.pid);
  expect(records.members.get(process.pid)).toMatchObject({ agentId: agent.id, goneMs: null });
  finder.heardFork(process.pid, 4_194_002);
  expect(records.members.get(4_194_002)?.agentId).toBe(agent.id);
});

test("setMember: a storm of short lives does not push out the agent that started it", () => {
  const records = recordsOf();
  const { agent } = addAgent(records, process.pid);
  const member = { startTicks: null, agentId: agent.id, kind: null };
  records.setMember(5_000_000, { ...member, goneMs: null });
  for (let pid = 6_000_000; pid < 6_060_000; pid += 1) {
    records.setMember(pid, { ...member, goneMs: 1 });
  }
  expect(records.members.size).toBe(50_000);
  expect(records.members.has(process.pid)).toBe(true);
  expect(records.members.has(5_000_000)).toBe(true);
  expect(records.members.has(6_000_000)).toBe(false);
});
