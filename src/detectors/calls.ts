// Pairs tool calls with their results, lane by lane, once for all detectors.

import type { EventData, ObserverEvent } from "../core/event.ts";
import { clip } from "../core/text.ts";
import { type CallIdentity, identifyCall } from "./call-identity.ts";
import { createEarlyResults, type EarlyResults } from "./early-results.ts";
import { directoryOf, ERROR_CHARS_MAX, errorText } from "./finding.ts";
import { hash53 } from "./hash.ts";
import { createLruMap, type LruMap } from "./lru-map.ts";
import { resultKey } from "./normalise.ts";
import {
  addStep,
  breakRepetition,
  type Loop,
  newRepetitionState,
  type RepetitionOptions,
  type RepetitionState,
} from "./repetition.ts";

// Calls without a result yet; agents run a handful at once, the rest are ghosts of lost results.
const OPEN_CALLS_MAX = 64;
// Outcomes remembered per lane, each one number. The longest loop has 6 different calls, and each may flip between
// many states; what is forgotten counts as new, which is silence.
const OUTCOMES_MAX = 256;
// Different prompts remembered per lane.
const PROMPTS_MAX = 16;

export interface CallTrackerOptions extends RepetitionOptions {
  lanesMax: number;
}

/** A tool call with its result. */
export interface CompletedCall {
  /** Session and subagent: calls of one lane follow each other. */
  lane: string;
  identity: CallIdentity;
  ok: boolean;
  /** What the failing call said; empty for a success. */
  error: string;
  /** Id of the event that told the result. */
  resultId: string;
  /** Fingerprint that `retry_limit` gives to failures of this command. */
  retryFingerprint: string;
  /** Set when this call completes one more repetition of a loop. */
  loop?: Loop;
  /** The call belongs to a loop that was reported and goes on. */
  inLoop: boolean;
}

export interface CallTracker {
  /**
   * The call that a `tool_result` completes, or a `tool_call` whose result came first; null otherwise, for results without a session, without a
   * known input, and for calls that the user interrupted. Each event is worked out once, however often it is asked for.
   */
  completed(event: ObserverEvent): CompletedCall | null;
}

interface OpenCall {
  id: string | undefined;
  identity: CallIdentity;
  seq: number;
  timeMs: number;
}

/** What a result says, small enough to be held. */
interface Outcome {
  eventId: string;
  seq: number;
  timeMs: number;
  /** As stated; null where only the times of call and result tell. */
  durationMs: number | null;
  failed: boolean;
  error: string;
  /** Hash of what it brought back. */
  resultKey: number;
}

interface Lane {
  open: OpenCall[];
  /** Results without a known call; `counted` when there is nothing more to learn from the call. */
  early: EarlyResults<Outcome | "counted">;
  outcomes: LruMap<number, true>;
  prompts: LruMap<number, true>;
  repetition: RepetitionState;
}

function newLane(): Lane {
  return {
    open: [],
    early: createEarlyResults(),
    outcomes: createLruMap(OUTCOMES_MAX),
    prompts: createLruMap(PROMPTS_MAX),
    repetition: newRepetitionState(),
  };
}

/** Key of the lane of an event with a session; null without one. */
export function laneOf(event: ObserverEvent): string | null {
  if (event.sessionId === undefined) return null;
  return `${event.host}\u0000${event.sessionId}\u0000${event.data.agent_id ?? ""}`;
}

/** True when the user stopped the call: nobody's failure. */
export function isInterrupted(data: EventData): boolean {
  return data["is_interrupt"] === true;
}

/** True when a tool result reports a failure: it says so, or it says nothing and carries an error. */
export function isFailure(data: EventData): boolean {
  return data.ok === false || (data.ok !== true && errorText(data) !== "");
}

/** A tracker to be shared by all detectors of one stream of events. */
export function createCallTracker(options: CallTrackerOptions): CallTracker {
  const lanes = createLruMap<string, Lane>(options.lanesMax);
  // Keyed by the event itself: an answer lives as long as its event, whatever order the detectors run in.
  const answers = new WeakMap<ObserverEvent, CompletedCall | null>();

  function work(event: ObserverEvent): CompletedCall | null {
    const key = laneOf(event);
    if (key === null) return null;
    const lane = lanes.ensure(key, newLane);
    if (event.kind === "tool_call") return takeCall({ key, lane, event }, options);
    if (event.kind === "tool_result") return takeResult({ key, lane, event }, options);
    takePrompt(lane, event.data.prompt);
    return null;
  }

  return {
    completed(event) {
      if (event.kind !== "tool_result" && event.kind !== "tool_call" && event.kind !== "prompt") {
        return null;
      }
      const known = answers.get(event);
      if (known !== undefined) return known;
      const answer = work(event);
      answers.set(event, answer);
      return answer;
    },
  };
}

function takeCall(place: Place, options: CallTrackerOptions): CompletedCall | null {
  const { lane, event } = place;
  const { tool, call_id: id, input } = event.data;
  if (typeof tool !== "string") return null;
  const early = id === undefined ? undefined : lane.early.take(id);
  if (early === "counted") return null;
  // A call without arguments is a known call; a result without a call is not.
  const identity = identifyCall(tool, input ?? {}, directoryOf(event));
  const call = { id, identity, seq: event.seq, timeMs: event.timeMs };
  if (early !== undefined) return complete(place, { call, outcome: early }, options);
  lane.open.push(call);
  if (lane.open.length > OPEN_CALLS_MAX) lane.open.shift();
  return null;
}

// A person who asks for something new ends the agent's loop; the same prompt again does not.
function takePrompt(lane: Lane, prompt: unknown): void {
  if (typeof prompt !== "string") return;
  const key = hash53(prompt);
  if (lane.prompts.get(key) === true) return;
  lane.prompts.set(key, true);
  breakRepetition(lane.repetition);
}

function takeOpen(lane: Lane, data: EventData): OpenCall | undefined {
  const { call_id: id, tool } = data;
  const byId = id === undefined ? -1 : lane.open.findLastIndex((call) => call.id === id);
  // Where only one of the two carries an id, the tool's name has to do.
  const at =
    byId >= 0
      ? byId
      : lane.open.findLastIndex(
          (call) => call.identity.tool === tool && (id === undefined || call.id === undefined),
        );
  return at < 0 ? undefined : lane.open.splice(at, 1)[0];
}

interface Place {
  key: string;
  lane: Lane;
  event: ObserverEvent;
}

function takeResult(place: Place, options: CallTrackerOptions): CompletedCall | null {
  const { lane, event } = place;
  const { data } = event;
  const { call_id: id } = data;
  const opened = takeOpen(lane, data);
  if (opened !== undefined && id !== undefined) lane.early.matched(id);
  const isEarly = opened === undefined && id !== undefined;
  if (isInterrupted(data)) {
    if (isEarly) lane.early.hold(id, "counted");
    breakRepetition(lane.repetition);
    return null;
  }
  const identity = opened?.identity ?? identityOfResult(event);
  if (isEarly) lane.early.hold(id, identity === null ? outcomeOf(event) : "counted");
  if (identity === null) return null;
  const call = opened ?? { id, identity, seq: event.seq, timeMs: event.timeMs };
  return complete(place, { call, outcome: outcomeOf(event) }, options);
}

function outcomeOf(event: ObserverEvent): Outcome {
  const { data, id: eventId, seq, timeMs } = event;
  const failed = isFailure(data);
  return {
    eventId,
    seq,
    timeMs,
    durationMs: typeof data.duration_ms === "number" ? data.duration_ms : null,
    failed,
    error: failed ? clip(failureText(data), ERROR_CHARS_MAX) : "",
    resultKey: resultKey([failed, data.output, data.error], [data.cwd, event.workspace]),
  };
}

function complete(
  { key, lane }: Place,
  { call, outcome }: { call: OpenCall; outcome: Outcome },
  options: CallTrackerOptions,
): CompletedCall {
  const { identity } = call;
  const { failed, error, eventId } = outcome;
  const retryFingerprint = `retry:${identity.commandKey.toString(36)}`;
  const verdict = addStep(
    lane.repetition,
    {
      // The sign holds the outcome.
      key: failed ? -identity.targetKey : identity.targetKey,
      novel: takeOutcome(lane, identity, outcome),
      ok: !failed,
      durationMs: outcome.durationMs ?? outcome.timeMs - call.timeMs,
      waits: identity.waits,
      display: identity.display,
      retryFingerprint,
      eventId,
      // Where the result came first, the call began before that.
      startSeq: Math.min(call.seq, outcome.seq),
      endSeq: Math.max(call.seq, outcome.seq),
    },
    options,
  );
  return {
    lane: key,
    identity,
    ok: !failed,
    error,
    resultId: eventId,
    retryFingerprint,
    ...verdict,
  };
}

function identityOfResult(event: ObserverEvent): CallIdentity | null {
  const { tool, input } = event.data;
  if (typeof tool !== "string" || input === undefined) return null;
  return identifyCall(tool, input, directoryOf(event));
}

/** What a failed result says about its failure: its error, else its output. */
export function failureText(data: EventData): string {
  const error = errorText(data);
  if (error !== "") return error;
  return typeof data.output === "string" ? data.output : "";
}

// True when these arguments with this result are new to the lane. New arguments always are.
function takeOutcome(lane: Lane, identity: CallIdentity, { resultKey: result }: Outcome): boolean {
  const outcome = hash53(`${identity.argumentsKey} ${result}`);
  const seen = lane.outcomes.get(outcome) === true;
  if (!seen) lane.outcomes.set(outcome, true);
  return !seen;
}
