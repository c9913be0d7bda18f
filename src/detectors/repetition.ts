// Finds a sequence of calls that repeats without bringing anything new, in the calls of one lane.

import { hashText } from "./hash.ts";

export interface RepetitionOptions {
  /** Repetitions of a sequence of normal length. */
  repeatsMin: number;
  /** Shortest and longest sequence of normal length, in calls. */
  periodMin: number;
  periodMax: number;
  /** Repetitions of a sequence shorter than `periodMin`. */
  shortRepeatsMin: number;
  /** A successful call that takes this long is polling. */
  pollingCallMs: number;
}

/** What the search needs to know about one completed call. */
export interface Step {
  /** Same tool, same target, same outcome. */
  key: number;
  /** Arguments, written content or result were not seen before in the lane. */
  novel: boolean;
  ok: boolean;
  durationMs: number;
  waits: boolean;
  display: string;
  /** Fingerprint that `retry_limit` gives to failures of this command. */
  retryFingerprint: string;
  eventId: string;
  /** Position of the call and of its result in the stream of events. */
  startSeq: number;
  endSeq: number;
}

/** One more complete repetition of a loop. */
export interface Loop {
  fingerprint: string;
  /** Complete repetitions so far. */
  repetitions: number;
  period: number;
  sequence: string[];
  /** Ids of the results of all repetitions still remembered, oldest first. */
  evidence: string[];
  /** `retry_limit` fingerprints of the failing calls in the sequence. */
  failing: string[];
}

export interface RepetitionState {
  steps: Step[];
  active: ActiveLoop | null;
}

interface ActiveLoop {
  fingerprint: string;
  period: number;
  repetitions: number;
  stepsSinceReport: number;
}

export interface StepVerdict {
  /** Set when this step completes a repetition that is to be reported. */
  loop?: Loop;
  /** The step belongs to a loop that was reported and goes on. */
  inLoop: boolean;
}

export function newRepetitionState(): RepetitionState {
  return { steps: [], active: null };
}

/** Something new came from outside: what follows is another sequence. */
export function breakRepetition(state: RepetitionState): void {
  state.steps.length = 0;
  state.active = null;
}

/** Takes the next completed call of the lane. */
export function addStep(
  state: RepetitionState,
  step: Step,
  options: RepetitionOptions,
): StepVerdict {
  const { steps } = state;
  steps.push(step);
  if (steps.length > stepsMax(options)) steps.shift();
  if (state.active !== null) {
    if (continues(steps, state.active.period)) return continueLoop(state.active, steps, options);
    state.active = null;
  }
  const found = findLoop(steps, options);
  if (found === null) return { inLoop: false };
  state.active = found;
  return { loop: describe(found, steps), inLoop: true };
}

function repeatsFor(period: number, options: RepetitionOptions): number {
  return period < options.periodMin ? options.shortRepeatsMin : options.repeatsMin;
}

// Enough for the longest evidence that any period asks for, and one period more to count from.
function stepsMax(options: RepetitionOptions): number {
  const normal = options.periodMax * (options.repeatsMin + 1);
  const short = (options.periodMin - 1) * (options.shortRepeatsMin + 1);
  return Math.max(normal, short);
}

function continues(steps: Step[], period: number): boolean {
  const newest = steps.at(-1);
  return newest !== undefined && !newest.novel && steps.at(-1 - period)?.key === newest.key;
}

function continueLoop(active: ActiveLoop, steps: Step[], options: RepetitionOptions): StepVerdict {
  active.stepsSinceReport += 1;
  if (active.stepsSinceReport < active.period) return { inLoop: true };
  active.stepsSinceReport = 0;
  active.repetitions += 1;
  if (isPolling(steps.slice(-active.period), options)) return { inLoop: true };
  return { loop: describe(active, steps), inLoop: true };
}

function findLoop(steps: Step[], options: RepetitionOptions): ActiveLoop | null {
  if (steps.at(-1)?.novel !== false) return null;
  for (let period = 1; period <= options.periodMax; period += 1) {
    const repetitions = countRepetitions(steps, period);
    if (repetitions < repeatsFor(period, options)) continue;
    if (isLoop(steps.slice(-2 * period), period, options)) {
      const fingerprint = fingerprintOf(steps.slice(-period));
      return { fingerprint, period, repetitions, stepsSinceReport: 0 };
    }
  }
  return null;
}

// How often the last `period` steps occur in a row at the end.
function countRepetitions(steps: Step[], period: number): number {
  let same = Math.min(period, steps.length);
  while (same < steps.length) {
    if (steps[steps.length - 1 - same]?.key !== steps[steps.length - 1 - same + period]?.key) break;
    same += 1;
  }
  return Math.floor(same / period);
}

// `tail` holds the last two repetitions.
function isLoop(tail: Step[], period: number, options: RepetitionOptions): boolean {
  const last = tail.slice(-period);
  if (last.some((step) => step.novel)) return false;
  if (!isPrimitive(last)) return false;
  // One failing call again and again is retry_limit.
  if (period === 1 && last[0]?.ok === false) return false;
  // Calls issued before the previous repetition had its results were one batch: nobody could learn from it.
  const previousEnd = tail[tail.length - period - 1]?.endSeq ?? -1;
  if ((last[0]?.startSeq ?? 0) < previousEnd) return false;
  return !isPolling(last, options);
}

// False when the sequence is itself a shorter one repeated: then that shorter period and its limit apply.
function isPrimitive(sequence: Step[]): boolean {
  const length = sequence.length;
  for (let part = 1; part <= length / 2; part += 1) {
    if (length % part !== 0) continue;
    if (sequence.every((step, i) => step.key === sequence[i % part]?.key)) return false;
  }
  return true;
}

function isPolling(repetition: Step[], options: RepetitionOptions): boolean {
  if (!repetition.every((step) => step.ok)) return false;
  const slow = repetition.every((step) => step.durationMs >= options.pollingCallMs);
  return slow || repetition.some((step) => step.waits);
}

// The same for every rotation of the sequence: the loop has no first call.
function fingerprintOf(sequence: Step[]): string {
  const keys = sequence.map((step) => step.key);
  const rotations = keys.map((_, i) => [...keys.slice(i), ...keys.slice(0, i)].join(" "));
  return `loop:${hashText(rotations.sort()[0] ?? "")}`;
}

function describe(active: ActiveLoop, steps: Step[]): Loop {
  const { fingerprint, period, repetitions } = active;
  const last = steps.slice(-period);
  const failing = last.filter((step) => !step.ok).map((step) => step.retryFingerprint);
  return {
    fingerprint,
    repetitions,
    period,
    sequence: last.map((step) => step.display),
    evidence: steps.slice(-period * repetitions).map((step) => step.eventId),
    failing: [...new Set(failing)],
  };
}
