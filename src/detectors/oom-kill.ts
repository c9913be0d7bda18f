// oom_kill: the kernel killed a process because there was no memory left, and says so.

import type { Detector } from "../core/contracts.ts";
import type { DeathTracker } from "./deaths.ts";

/** Reports each kill at its first proof; later proofs are added to it. */
export function createOomKillDetector(deaths: DeathTracker): Detector {
  return { type: "oom_kill", observe: (event) => deaths.of(event).kills };
}
