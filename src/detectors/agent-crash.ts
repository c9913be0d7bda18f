// agent_crash: an agent's process died in a way that it did not choose, or while work was under way.

import type { Detector } from "../core/contracts.ts";
import type { DeathTracker } from "./deaths.ts";

/** Reports what the tracker judged to be a crash that nothing explains. */
export function createAgentCrashDetector(deaths: DeathTracker): Detector {
  return { type: "agent_crash", observe: (event) => deaths.of(event).crashes };
}
