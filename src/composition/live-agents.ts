// What the HTTP surface is given of live agents. Stands in until registry and brakes are joined here: knows no agent.

import type { ApiDeps } from "../api/deps.ts";
import { ObserverError } from "../core/errors.ts";
import { readGpusApart } from "../kernel/gpu-helper.ts";
import { createCapabilities } from "./capabilities.ts";
import type { Parts } from "./parts.ts";

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

const unavailable = (): Promise<never> =>
  Promise.reject(new ObserverError("unavailable", "This observer does not follow processes"));

/** A driver that takes longer hangs. */
const GPU_PATIENCE_MS = 3_000;

export function noAgents(
  { settings, clock }: Pick<Parts, "settings" | "clock">,
  selfCommand: string[],
): LiveAgents {
  return {
    agents: {
      list: () => [],
      get: () => null,
      ofPid: () => null,
      ofCgroup: () => null,
      onChange: () => () => undefined,
    },
    brakes: {
      freeze: () => null,
      reflex: () => null,
      pause: unavailable,
      resume: unavailable,
      kill: unavailable,
      lease: () => null,
      stateOf: () => "running",
      endedByUs: () => false,
    },
    memoryOf: () => null,
    processState: () => null,
    capabilities: createCapabilities(settings.data_dir, clock),
    gpus: () => readGpusApart([...selfCommand, "__gpus"], { timeoutMs: GPU_PATIENCE_MS }),
    adoptRun: unavailable,
    reportRunExit: unavailable,
  };
}
