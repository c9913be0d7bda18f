// Live agents, brakes and runs without processes, for tests of what shows and commands them.

import type { ApiDeps } from "../../src/api/deps.ts";
import type { Agent, Brakes, PauseLease } from "../../src/core/agent.ts";
import { ObserverError } from "../../src/core/errors.ts";

/** 2026-01-01T00:00:00.000Z. */
const NOW = 1_767_225_600_000;

export function agent(pid: number, fields: Partial<Agent> = {}): Agent {
  const startTicks = pid * 10;
  return {
    id: `${pid}-${startTicks}`,
    pid,
    startTicks,
    kind: "claude-code",
    startedMs: NOW + pid,
    uid: 1000,
    cwd: "/w",
    command: "claude",
    sessionId: `s${pid}`,
    workspace: "/w",
    runId: null,
    cgroups: { unified: "/u", memory: "/m", memoryVersion: 1, freezer: null },
    ownCgroup: false,
    ...fields,
  };
}

export interface FakeAgents {
  deps: Pick<
    ApiDeps,
    | "agents"
    | "brakes"
    | "memoryOf"
    | "processState"
    | "capabilities"
    | "gpus"
    | "adoptRun"
    | "reportRunExit"
  >;
  live: Agent[];
  leases: Map<string, PauseLease>;
  /** Letters of /proc/PID/stat by pid; `S` for others. */
  letters: Map<number, string>;
  survivors: number[];
}

/** `calls` is told of every command. */
export function createFakeAgents(calls: unknown[]): FakeAgents {
  const live: Agent[] = [];
  const leases = new Map<string, PauseLease>();
  const letters = new Map<number, string>();
  const survivors: number[] = [];
  const mustLive = (wanted: Agent): void => {
    if (!live.includes(wanted)) throw new ObserverError("vanished", `Agent ${wanted.id} is gone`);
  };
  const brakes: Brakes = {
    freeze: () => null,
    reflex: () => null,
    async pause(paused, forMs) {
      calls.push(["pause", paused.id, forMs]);
      mustLive(paused);
      const lease: PauseLease = {
        agentId: paused.id,
        pid: paused.pid,
        method: "freezer",
        sinceMs: NOW,
        untilMs: NOW + forMs,
      };
      leases.set(paused.id, lease);
      return lease;
    },
    async resume(resumed) {
      calls.push(["resume", resumed.id]);
      leases.delete(resumed.id);
    },
    async kill(killed, graceMs) {
      calls.push(["kill", killed.id, graceMs]);
      mustLive(killed);
      const pids = [killed.pid, killed.pid + 1];
      return { agentId: killed.id, pids, killed: [], survivors, durationMs: 12 };
    },
    lease: (id) => leases.get(id) ?? null,
    stateOf: ({ id }) => (leases.has(id) ? "paused" : "running"),
    endedByUs: () => false,
  };
  return {
    live,
    leases,
    letters,
    survivors,
    deps: {
      agents: {
        list: () => [...live],
        get: (id) => live.find((one) => one.id === id) ?? null,
        ofPid: (pid) => live.find((one) => one.pid === pid) ?? null,
        ofCgroup: () => null,
        onChange: () => () => {},
      },
      brakes,
      memoryOf: () => ({
        rssBytes: 1_000,
        limitBytes: 4_000,
        timeToLimitMs: null,
      }),
      processState: ({ pid }) => letters.get(pid) ?? "S",
      capabilities: async () => [
        { name: "pidfd", state: "ok", purpose: "deaths", reason: "" },
        { name: "kmsg", state: "missing", purpose: "OOM", reason: "no /dev/kmsg", fix: "be root" },
      ],
      gpus: async () => ({ gpus: [{ name: "H200", memory: { totalBytes: 5 } }], reason: null }),
      async adoptRun(request, uid) {
        calls.push(["adoptRun", request, uid]);
        const agentId = `${request.pid}-${request.startTicks}`;
        const { id: runId, workspace } = request;
        return { runId, sessionId: `run-${runId}`, agentId, workspace };
      },
      async reportRunExit(runId, exit, uid) {
        calls.push(["exit", runId, exit, uid]);
        if (runId === "unknown") throw new ObserverError("not_found", `There is no run ${runId}`);
      },
    },
  };
}
