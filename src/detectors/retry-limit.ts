// retry_limit: the same command fails again and again.

import type { Detector } from "../core/contracts.ts";
import type { ObserverEvent } from "../core/event.ts";
import type { Finding } from "../core/interruption.ts";
import { clip } from "../core/text.ts";
import type { CallTracker, CompletedCall } from "./calls.ts";
import { ERROR_CHARS_MAX, findingAt } from "./finding.ts";
import { createLruMap, type LruMap } from "./lru-map.ts";

// Different failing commands remembered per lane, and the newest failures of each that are named as evidence:
// small, because a flood of failing sessions may fill every lane.
const COMMANDS_MAX = 64;
const EVIDENCE_PER_COMMAND_MAX = 20;

export interface RetryLimitOptions {
  /** Failures of one command that are reported. */
  retryLimit: number;
  lanesMax: number;
}

interface Failures {
  count: number;
  evidence: string[];
}

/** Counts failures, not runs; a success of the command starts anew. */
export function createRetryLimitDetector(
  options: RetryLimitOptions,
  tracker: CallTracker,
): Detector {
  const lanes = createLruMap<string, LruMap<string, Failures>>(options.lanesMax);

  function observeFailure(call: CompletedCall, event: ObserverEvent): Finding[] {
    const lane = lanes.ensure(call.lane, () => createLruMap<string, Failures>(COMMANDS_MAX));
    const failures = lane.ensure(call.retryFingerprint, () => ({ count: 0, evidence: [] }));
    failures.count += 1;
    failures.evidence.push(call.resultId);
    if (failures.evidence.length > EVIDENCE_PER_COMMAND_MAX) failures.evidence.shift();
    return failures.count < options.retryLimit ? [] : [report(call, event, failures)];
  }

  function report(call: CompletedCall, event: ObserverEvent, failures: Failures): Finding {
    const { tool, command, display } = call.identity;
    return findingAt(event, {
      type: "retry_limit",
      fingerprint: call.retryFingerprint,
      summary: `"${command ?? display}" failed ${failures.count} times`,
      detail: {
        limit: options.retryLimit,
        value: failures.count,
        tool,
        command: command ?? display,
        last_error: clip(call.error, ERROR_CHARS_MAX),
      },
      evidence: [...failures.evidence],
    });
  }

  function forget(call: CompletedCall): void {
    const lane = lanes.get(call.lane);
    lane?.delete(call.retryFingerprint);
    // A loop takes over the failures of all its calls: one trouble, one interruption.
    for (const fingerprint of call.loop?.failing ?? []) lane?.delete(fingerprint);
  }

  return {
    type: "retry_limit",
    observe(event) {
      const call = tracker.completed(event);
      if (call === null) return [];
      if (!call.ok && !call.inLoop) return observeFailure(call, event);
      forget(call);
      return [];
    },
  };
}
