// dead_loop: a sequence of calls repeats and brings nothing new.

import type { Detector } from "../core/contracts.ts";
import type { CallTracker } from "./calls.ts";
import { findingAt } from "./finding.ts";

export interface DeadLoopOptions {
  /** Repetitions that make a loop; quoted as the limit. */
  loopRepeatsMin: number;
  /** Shortest sequence, in calls, to which that limit applies. */
  loopPeriodMin: number;
  /** Repetitions for shorter sequences. */
  loopShortRepeatsMin: number;
}

/**
 * Reports each complete repetition from the limit on. The search itself is in repetition.ts, run by the
 * tracker, because retry_limit must know of a loop that goes on.
 */
export function createDeadLoopDetector(options: DeadLoopOptions, tracker: CallTracker): Detector {
  return {
    type: "dead_loop",
    observe(event) {
      const loop = tracker.completed(event)?.loop;
      if (loop === undefined) return [];
      const { period, repetitions, sequence } = loop;
      const limit =
        period < options.loopPeriodMin ? options.loopShortRepeatsMin : options.loopRepeatsMin;
      const finding = findingAt(event, {
        type: "dead_loop",
        fingerprint: loop.fingerprint,
        summary: `${sequence.join(" → ")} repeated ${repetitions} times, nothing new`,
        detail: { limit, value: repetitions, period, sequence },
        evidence: loop.evidence,
      });
      const supersedes = loop.failing.map((fingerprint) => ({
        type: "retry_limit" as const,
        fingerprint,
      }));
      return [{ ...finding, supersedes }];
    },
  };
}
