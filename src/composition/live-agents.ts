// What the HTTP surface is given of live agents and of runs.

import type { ApiDeps } from "../api/deps.ts";
import type { Agent, CgroupDirectories, ProcessId } from "../core/agent.ts";
import { ObserverError } from "../core/errors.ts";
import type { RunRequest } from "../core/run.ts";
import { cgroupsOf, findCgroupMounts } from "../kernel/cgroup.ts";
import { readGpusApart } from "../kernel/gpu-helper.ts";
import { readStat } from "../kernel/procfs.ts";
import type { Eyes } from "./eyes.ts";

type LiveAgents = Pick<
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

/** A driver that takes longer hangs. */
const GPU_PATIENCE_MS = 3_000;
/** Runs that ended are still told about for a moment. */
const RUNS_MAX = 1_000;

export function liveAgents(eyes: Eyes, selfCommand: string[]): LiveAgents {
  const { processes, memory, brakes } = eyes;
  const runs = new Map<string, ProcessId>();
  const remember = (runId: string, { pid, startTicks }: ProcessId): void => {
    runs.set(runId, { pid, startTicks });
    const oldest = runs.size > RUNS_MAX ? runs.keys().next().value : undefined;
    if (oldest !== undefined) runs.delete(oldest);
  };
  const ofRun = (runId: string): ProcessId | undefined =>
    runs.get(runId) ?? processes.registry.list().find((agent) => agent.runId === runId);

  return {
    agents: processes.registry,
    brakes,
    memoryOf: (agentId) => memory.memoryOf(agentId),
    processState: stateOf,
    capabilities: eyes.capabilities,
    gpus: () => readGpusApart([...selfCommand, "__gpus"], { timeoutMs: GPU_PATIENCE_MS }),
    async adoptRun(request, callerUid) {
      const { agent } = await adopt(request, callerUid, processes);
      remember(request.id, agent);
      return adopted(request, agent);
    },
    async reportRunExit(runId, { exitCode, signal }, callerUid) {
      const process = ofRun(runId);
      if (!process) throw new ObserverError("not_found", `No run is called ${runId}`);
      // Whether a core was dumped is not told to a parent here; the kernel's own report says it.
      await processes.reportExit({ ...process, exitCode, signal, coreDumped: false, callerUid });
    },
  };
}

async function adopt(request: RunRequest, callerUid: number, processes: Eyes["processes"]) {
  const { id: runId, name, pid, startTicks, workspace } = request;
  const cgroups = claimed(pid, request.cgroups);
  const claim = { runId, name, pid, startTicks, workspace, cgroups, callerUid };
  return await processes.adoptRun(claim).catch((thrown: unknown) => {
    if (!(thrown instanceof ObserverError) || thrown.code !== "not_found") throw thrown;
    throw new ObserverError("vanished", thrown.message, { cause: thrown });
  });
}

/** Of the process's own cgroups those that were made for it, as its starter says; who may say so is checked later. */
function claimed(pid: number, directories: string[]): CgroupDirectories | null {
  if (directories.length === 0) return null;
  const { unified, memory, memoryVersion, freezer } = cgroupsOf(pid, findCgroupMounts());
  const made = (directory: string | null): string | null =>
    directory !== null && directories.includes(directory) ? directory : null;
  return {
    unified: made(unified),
    memory: made(memory),
    memoryVersion: made(memory) === null ? null : memoryVersion,
    freezer: made(freezer),
  };
}

function adopted(request: RunRequest, agent: Agent): Awaited<ReturnType<LiveAgents["adoptRun"]>> {
  return {
    runId: request.id,
    sessionId: agent.sessionId ?? `run-${request.id}`,
    agentId: agent.id,
    workspace: agent.workspace,
  };
}

function stateOf({ pid, startTicks }: ProcessId): string | null {
  const stat = readStat(pid);
  return stat?.startTicks === startTicks ? stat.state : null;
}
