// What the HTTP surface is given of live agents and of runs.

import type { ApiDeps } from "../api/deps.ts";
import type { ProcessId } from "../core/agent.ts";
import { readGpusApart } from "../kernel/gpu-helper.ts";
import { readStat } from "../kernel/procfs.ts";
import type { Log } from "../telemetry/log.ts";
import type { Eyes } from "./eyes.ts";
import { runsOver } from "./runs.ts";

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

export function liveAgents(
  eyes: Eyes,
  { selfCommand, log }: { selfCommand: string[]; log: Log },
): LiveAgents {
  const { processes, memory, brakes } = eyes;
  return {
    agents: processes.registry,
    brakes,
    memoryOf: (agentId) => memory.memoryOf(agentId),
    processState: stateOf,
    capabilities: eyes.capabilities,
    gpus: () => readGpusApart([...selfCommand, "__gpus"], { timeoutMs: GPU_PATIENCE_MS }),
    ...runsOver(processes, log),
  };
}

function stateOf({ pid, startTicks }: ProcessId): string | null {
  const stat = readStat(pid);
  return stat?.startTicks === startTicks ? stat.state : null;
}
