// Events in, interruptions out: the detectors and the open interruptions, without store or clock of their own.

import type { Detector } from "../core/contracts.ts";
import { messageOf } from "../core/errors.ts";
import type { ObserverEvent } from "../core/event.ts";
import type { Finding, Interruption } from "../core/interruption.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { type Change, createInterruptions, type InterruptionContext } from "./interruptions.ts";
import { createSessionFacts, type SessionLookup } from "./session-facts.ts";

/** A detector that throws this often is switched off; the others and the agent go on. */
const FAULTS_MAX = 10;

export interface AnalysisDeps {
  context: InterruptionContext;
  createDetectors: () => Detector[];
  /** What is stored of a session whose first events were not shown. */
  sessionOf: SessionLookup;
  log: Log;
  metrics: Metrics;
}

export interface Analysis {
  observe(event: ObserverEvent): Change[];
  resolve(id: string): Interruption | null;
  /** Starts anew: shows the recent past to fresh detectors, and takes the open interruptions as they are. */
  rebuild(past: Iterable<ObserverEvent>, open: Iterable<Interruption>): void;
}

export function createAnalysis(deps: AnalysisDeps): Analysis {
  const { context, createDetectors, sessionOf, log, metrics } = deps;
  let detectors = createDetectors();
  const faults = new Map<string, number>();
  const interruptions = createInterruptions(context);
  let sessions = createSessionFacts(sessionOf);

  const fault = (detector: Detector, thrown: unknown): void => {
    const count = (faults.get(detector.type) ?? 0) + 1;
    faults.set(detector.type, count);
    metrics.add("observer_detector_faults_total", 1, { detector: detector.type });
    log.error("detector failed", { detector: detector.type, error: messageOf(thrown), count });
    if (count < FAULTS_MAX) return;
    detectors = detectors.filter((it) => it !== detector);
    log.error("detector is switched off until the next start", { detector: detector.type });
  };

  const findings = (event: ObserverEvent): Finding[] => {
    const found: Finding[] = [];
    sessions.note(event);
    for (const detector of detectors) {
      try {
        const some = detector.observe(event);
        if (some.length > 0) found.push(...some);
      } catch (thrown) {
        fault(detector, thrown);
      }
    }
    return found.map((finding) => sessions.complete(finding, event));
  };

  return {
    observe: (event) => findings(event).flatMap((finding) => interruptions.apply(finding)),
    resolve: (id) => interruptions.resolve(id),
    rebuild(past, open) {
      detectors = createDetectors();
      sessions = createSessionFacts(sessionOf);
      interruptions.load(open);
      for (const event of past) findings(event);
    },
  };
}
