// The agents that live now, and for some seconds those that ended: the one place where everybody looks them up.

import type { Agent, AgentChange, AgentRegistry } from "../../core/agent.ts";
import { agentId, type ProcessId } from "../../core/agent.ts";
import { isWithin } from "../../kernel/cgroup.ts";
import { type AgentRecord, type Member, upToRun } from "./record.ts";

/** Proof of an OOM kill may come seconds after the death; longer ago nobody asks. */
const REMEMBER_MS = 30_000;
/** Processes of all agents' trees, some 150 bytes each; a fork storm may make thousands in a second. */
const MEMBERS_MAX = 50_000;
/** Living ones that are passed over to find one that is gone; agents and what they wait for are the oldest. */
const PASSED_OVER_MAX = 1_000;
/** Deeper trees do not happen, and a circle must end. */
const DEPTH_MAX = 128;

interface CgroupRequest {
  directory: string;
  parentName: string;
}

export interface RegistryDeps {
  now(): number;
  /** Observer itself, which belongs to no agent even when one started it. */
  ownPid: number;
  /** Name of observer's own cgroup. */
  parentName: string;
  parentOf(pid: number): number | null;
}

export interface Records extends AgentRegistry {
  add(record: AgentRecord): void;
  /** The agent was given other facts; listeners are told when something that they see changed. */
  change(record: AgentRecord, facts: Partial<Agent>): void;
  end(record: AgentRecord): void;
  /** Live ones, oldest first. */
  live(): AgentRecord[];
  /** Those that ended a short time ago too. */
  all(): AgentRecord[];
  record(process: ProcessId): AgentRecord | null;
  byId(id: string): AgentRecord | null;
  /** The live one with this pid. */
  livingAt(pid: number): AgentRecord | null;
  recordOfPid(pid: number): AgentRecord | null;
  members: Map<number, Member>;
  setMember(pid: number, member: Member): void;
  /** Forgets what ended long ago. */
  sweep(): void;
}

export function createRecords({ now, ownPid, parentOf, parentName }: RegistryDeps): Records {
  const records = new Map<string, AgentRecord>();
  const byPid = new Map<number, AgentRecord>();
  const members = new Map<number, Member>();
  const listeners = new Set<(change: AgentChange) => void>();

  const tell = (kind: AgentChange["kind"], { agent }: AgentRecord): void => {
    for (const listener of listeners) listener({ kind, agent });
  };

  function recordOfPid(pid: number): AgentRecord | null {
    for (let at = pid, depth = 0; at > 1 && depth < DEPTH_MAX; depth += 1) {
      if (at === ownPid) return null;
      const member = members.get(at);
      if (member) return records.get(member.agentId) ?? null;
      at = parentOf(at) ?? 0;
    }
    return null;
  }

  return {
    members,
    add(record) {
      const { agent } = record;
      records.set(agent.id, record);
      byPid.set(agent.pid, record);
      tell("found", record);
    },
    change(record, facts) {
      const before = record.agent;
      const after = { ...before, ...facts };
      if (Bun.deepEquals(before, after)) return;
      record.agent = after;
      if (record.endedMs === null) tell("changed", record);
    },
    end(record) {
      record.endedMs = now();
      if (byPid.get(record.agent.pid) === record) byPid.delete(record.agent.pid);
      const member = members.get(record.agent.pid);
      if (member?.agentId === record.agent.id) member.goneMs ??= record.endedMs;
      tell("gone", record);
    },
    live: () => [...records.values()].filter(({ endedMs }) => endedMs === null),
    all: () => [...records.values()],
    record: (process) => records.get(agentId(process)) ?? null,
    byId: (id) => records.get(id) ?? null,
    livingAt: (pid) => byPid.get(pid) ?? null,
    recordOfPid,
    setMember(pid, member) {
      // Put in again at the end, so that the map's order is the order of use.
      members.delete(pid);
      members.set(pid, member);
      if (members.size <= MEMBERS_MAX) return;
      members.delete(leastMissed(members));
    },
    sweep: () => sweep({ records, members }, now() - REMEMBER_MS),
    list: () => [...byPid.values()].map(({ agent }) => agent),
    get(id) {
      const record = records.get(id);
      return record?.endedMs === null ? record.agent : null;
    },
    ofPid: (pid) => recordOfPid(pid)?.agent ?? null,
    ofCgroup: (directory) =>
      [...records.values()].find(({ agent }) => isOwnCgroup(agent, { directory, parentName }))
        ?.agent ?? null,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

/** The one to forget: gone for longest, else the oldest. A storm of short lives must not push out who started it. */
function leastMissed(members: ReadonlyMap<number, Member>): number {
  let passedOver = 0;
  let last = 0;
  for (const [pid, { goneMs }] of members) {
    last = pid;
    if (goneMs !== null || ++passedOver === PASSED_OVER_MAX) break;
  }
  return last;
}

function sweep(
  { records, members }: { records: Map<string, AgentRecord>; members: Map<number, Member> },
  beforeMs: number,
): void {
  for (const [id, { endedMs }] of records) {
    if (endedMs !== null && endedMs < beforeMs) records.delete(id);
  }
  for (const [pid, { goneMs, agentId }] of members) {
    if ((goneMs !== null && goneMs < beforeMs) || !records.has(agentId)) members.delete(pid);
  }
}

function isOwnCgroup({ ownCgroup, runId, cgroups }: Agent, request: CgroupRequest): boolean {
  if (!ownCgroup || runId === null) return false;
  const { unified, memory, freezer } = cgroups;
  const run = { runId, parentName: request.parentName };
  return [unified, memory, freezer].some((directory) => {
    const own = upToRun(directory, run);
    return own !== null && isWithin(request.directory, own);
  });
}
