// What the HTTP surface is given of live agents. Stands in until registry and brakes are joined here: knows no agent.

import type { ApiDeps } from "../api/deps.ts";
import { ObserverError } from "../core/errors.ts";

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

export function noAgents(): LiveAgents {
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
    capabilities: () => Promise.resolve([]),
    gpus: () => ({ gpus: [], reason: null }),
    adoptRun: unavailable,
    reportRunExit: unavailable,
  };
}
