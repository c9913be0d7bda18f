// Removes the cgroups of runs that nobody lives in any more: of those whose starter was killed, or left something behind.

import { instanceName } from "../config/instance-name.ts";
import type { Clock } from "../core/clock.ts";
import { findCgroupMounts } from "../kernel/cgroup.ts";
import { findCgroups, sweep } from "../kernel/cgroup-sweep.ts";

/** Younger ones may be about to be entered. */
const AGE_MIN_MS = 60_000;
/** What observer makes for others; its guardian's own cgroup stays. */
const OF_OTHERS = /^(run|trial)-/;

export async function sweepRuns(dataDir: string, clock: Clock): Promise<void> {
  const options = {
    nowMs: clock.now(),
    minAgeMs: AGE_MIN_MS,
    keep: (name: string) => !OF_OTHERS.test(name),
  };
  for (const parent of findCgroups(findCgroupMounts(), instanceName(dataDir))) {
    await sweep(parent, options);
  }
}
