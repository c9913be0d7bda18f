// The list of detectors: to add one, write its file and name it here.

import type { Detector } from "../core/contracts.ts";
import { createAgentCrashDetector } from "./agent-crash.ts";
import { createCallTracker } from "./calls.ts";
import { createContextOverflowDetector } from "./context-overflow.ts";
import { createDeadLoopDetector } from "./dead-loop.ts";
import { createDeathTracker } from "./deaths.ts";
import { createMemoryPressureDetector } from "./memory-pressure.ts";
import { createOomKillDetector } from "./oom-kill.ts";
import { createProtectionLostDetector } from "./protection-lost.ts";
import { createRetryLimitDetector } from "./retry-limit.ts";
import { createRetryStormDetector } from "./retry-storm.ts";
import { createToolFailureDetector } from "./tool-failure.ts";

/** Thresholds of all detectors. docs/detectors.md says where each number comes from. */
export interface DetectorOptions {
  /** Failures of one command in a session. */
  retryLimit: number;
  /** Repetitions of a sequence of `loopPeriodMin` to `loopPeriodMax` calls. */
  loopRepeatsMin: number;
  loopPeriodMin: number;
  loopPeriodMax: number;
  /** Repetitions of a shorter sequence. */
  loopShortRepeatsMin: number;
  /** A successful call that takes this long is polling, not looping. */
  pollingCallMs: number;
  /** Equal provider or API errors of a session within `stormWindowMs`. */
  stormErrorsMin: number;
  stormWindowMs: number;
  /** Sessions (and subagents) that each detector remembers; the longest unused one goes first. */
  lanesMax: number;
}

/** The contract's thresholds; `lanesMax` bounds memory at some tens of MB when every lane is full. */
export const DEFAULT_DETECTOR_OPTIONS: DetectorOptions = {
  retryLimit: 5,
  loopRepeatsMin: 3,
  loopPeriodMin: 3,
  loopPeriodMax: 6,
  loopShortRepeatsMin: 10,
  pollingCallMs: 1_000,
  stormErrorsMin: 5,
  stormWindowMs: 10 * 60_000,
  lanesMax: 2_000,
};

/**
 * All detectors of one stream of events, gravest first. They share a tracker that pairs calls with results and one
 * that judges deaths, so show them the very same event objects; whether event by event or detector by detector makes no difference.
 */
export function createDetectors(options: DetectorOptions): Detector[] {
  const tracker = createCallTracker({
    repeatsMin: options.loopRepeatsMin,
    periodMin: options.loopPeriodMin,
    periodMax: options.loopPeriodMax,
    shortRepeatsMin: options.loopShortRepeatsMin,
    pollingCallMs: options.pollingCallMs,
    lanesMax: options.lanesMax,
  });
  const deaths = createDeathTracker(options);
  return [
    createOomKillDetector(deaths),
    createAgentCrashDetector(deaths),
    createRetryStormDetector(options),
    createDeadLoopDetector(options, tracker),
    createRetryLimitDetector(options, tracker),
    createContextOverflowDetector(),
    createMemoryPressureDetector(options),
    createProtectionLostDetector(),
    createToolFailureDetector(tracker),
  ];
}
