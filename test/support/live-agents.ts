// A registry of live agents that a test fills by hand.

import { type Agent, type AgentChange, agentId, type AgentRegistry } from "../../src/core/agent.ts";
import type { CgroupDirectories } from "../../src/core/agent.ts";

export interface FakeRegistry extends AgentRegistry {
  tell(kind: AgentChange["kind"], agent: Agent): void;
}

export function agentOf(
  pid: number,
  cgroups: Partial<CgroupDirectories>,
  facts: Partial<Agent> = {},
): Agent {
  return {
    pid,
    startTicks: 1,
    id: agentId({ pid, startTicks: 1 }),
    kind: "codex",
    startedMs: 0,
    uid: 0,
    cwd: null,
    command: "codex",
    sessionId: "s1",
    workspace: "/w",
    runId: null,
    cgroups: { unified: null, memory: null, memoryVersion: null, freezer: null, ...cgroups },
    ownCgroup: true,
    ...facts,
  };
}

/** `ofPid` knows the agents' own pids only. */
export function createFakeRegistry(...first: Agent[]): FakeRegistry {
  const agents = new Map(first.map((agent) => [agent.id, agent]));
  const listeners = new Set<(change: AgentChange) => void>();
  const find = (fits: (agent: Agent) => boolean): Agent | null =>
    [...agents.values()].find(fits) ?? null;
  return {
    list: () => [...agents.values()],
    get: (id) => agents.get(id) ?? null,
    ofPid: (pid) => find((agent) => agent.pid === pid),
    ofCgroup: (directory) =>
      find(({ ownCgroup, cgroups }) => ownCgroup && cgroups.memory === directory),
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    tell(kind, agent) {
      if (kind === "gone") agents.delete(agent.id);
      else agents.set(agent.id, agent);
      for (const listener of listeners) listener({ kind, agent });
    },
  };
}
