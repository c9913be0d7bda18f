// When to look at a cgroup's memory again: soon enough to act, seldom enough to cost nothing. Pure.

import type { LevelRules } from "./levels.ts";

/** Shortest pause: what two cores of one process can fill meanwhile is some 80 MB. */
export const PAUSE_MIN_MS = 20;
export const PAUSE_MAX_MS = 1_000;
/** Where the kernel tells of half and of the watch level by itself. */
const NOTIFIED_MIN_MS = 100;
/** Faster than programs fill memory on the machines of today; as long as nothing else is known. */
const FILL_BYTES_PER_S = 4e9;
/** Looks until the place is reached at that rate. */
const LOOKS = 2;
/** Share of one core that all looks together may take. */
const CPU_SHARE = 0.005;

export interface SampleFacts {
  usedBytes: number;
  limitBytes: number;
  bytesPerS: number;
  /** The kernel wakes us at the next place that matters. */
  notified: boolean;
  /** CPU time of one look at each of all targets. */
  roundCostMs: number;
}

/** Milliseconds. Longer than `PAUSE_MAX_MS` only when there are so many targets that they cost too much. */
export function nextPauseMs(facts: SampleFacts, rules: LevelRules): number {
  const { usedBytes, limitBytes, bytesPerS, notified, roundCostMs } = facts;
  // Where something else has to be done, the nearest first.
  const places = [rules.floorShare, rules.watchShare, rules.checkpointShare, 1];
  const goal = places.map((share) => share * limitBytes).find((bytes) => bytes > usedBytes) ?? 0;
  const rate = notified ? bytesPerS : Math.max(FILL_BYTES_PER_S, bytesPerS);
  const untilMs = rate > 0 ? (Math.max(0, goal - usedBytes) / rate) * 1_000 : Infinity;
  const isUrgent = bytesPerS > 0 && untilMs < LOOKS * NOTIFIED_MIN_MS;
  const leastMs = notified && !isUrgent ? NOTIFIED_MIN_MS : PAUSE_MIN_MS;
  const pauseMs = Math.min(PAUSE_MAX_MS, Math.max(leastMs, untilMs / LOOKS));
  return Math.max(pauseMs, roundCostMs / CPU_SHARE);
}
