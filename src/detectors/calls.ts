// Pairs tool calls with their results, lane by lane, once for all detectors.

import type { EventData, ObserverEvent } from "../core/event.ts";
import { type CallIdentity, identifyCall } from "./call-identity.ts";
import { directoryOf, errorText } from "./finding.ts";
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
  /** Fingerprint that `retry_limit` gives to failures of this command. */
  retryFingerprint: string;
  /** Set when this call completes one more repetition of a loop. */
  loop?: Loop;
  /** The call belongs to a loop that was reported and goes on. */
  inLoop: boolean;
}

export interface CallTracker {
  /**
   * The call that a `tool_result` completes; null for every other event, for results without a session, without a
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

interface Lane {
  open: OpenCall[];
  outcomes: LruMap<number, true>;
  prompts: LruMap<number, true>;
  repetition: RepetitionState;
}

function newLane(): Lane {
  return {
    open: [],
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
    if (event.kind === "tool_call") openCall(lane, event);
    else if (event.kind === "prompt") takePrompt(lane, event.data.prompt);
    else return complete({ key, lane, event }, options);
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

function openCall(lane: Lane, event: ObserverEvent): void {
  const { tool, call_id: id, input } = event.data;
  if (typeof tool !== "string") return;
  // A call without arguments is a known call; a result without a call is not.
  const identity = identifyCall(tool, input ?? {}, directoryOf(event));
  lane.open.push({ id, identity, seq: event.seq, timeMs: event.timeMs });
  if (lane.open.length > OPEN_CALLS_MAX) lane.open.shift();
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

function complete(place: Place, options: CallTrackerOptions): CompletedCall | null {
  const { lane, event } = place;
  const { data } = event;
  const opened = takeOpen(lane, data);
  if (isInterrupted(data)) {
    breakRepetition(lane.repetition);
    return null;
  }
  const identity = opened?.identity ?? identityOfResult(event);
  if (identity === null) return null;
  const failed = isFailure(data);
  const retryFingerprint = `retry:${identity.commandKey.toString(36)}`;
  const verdict = addStep(
    lane.repetition,
    {
      // The sign holds the outcome.
      key: failed ? -identity.targetKey : identity.targetKey,
      novel: takeOutcome(lane, identity, event),
      ok: !failed,
      durationMs: durationOf(event, opened),
      waits: identity.waits,
      display: identity.display,
      retryFingerprint,
      eventId: event.id,
      startSeq: opened?.seq ?? event.seq,
      endSeq: event.seq,
    },
    options,
  );
  const error = failed ? failureText(data) : "";
  return { lane: place.key, identity, ok: !failed, error, retryFingerprint, ...verdict };
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

function durationOf(event: ObserverEvent, opened: OpenCall | undefined): number {
  const stated = event.data.duration_ms;
  if (typeof stated === "number") return stated;
  return opened === undefined ? 0 : event.timeMs - opened.timeMs;
}

// True when these arguments with this result are new to the lane. New arguments always are.
function takeOutcome(lane: Lane, identity: CallIdentity, event: ObserverEvent): boolean {
  const { data } = event;
  const result = resultKey(
    [isFailure(data), data.output, data.error],
    [event.data.cwd, event.workspace],
  );
  const outcome = hash53(`${identity.argumentsKey} ${result}`);
  const seen = lane.outcomes.get(outcome) === true;
  if (!seen) lane.outcomes.set(outcome, true);
  return !seen;
}
