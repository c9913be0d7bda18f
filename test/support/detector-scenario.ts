// Short words for events, and a run of all detectors that counts findings as the pipeline would: one row for each trouble.

import type { EventData, EventKind, ObserverEvent } from "../../src/core/event.ts";
import type { Finding, InterruptionType } from "../../src/core/interruption.ts";
import { atLeast, INTERRUPTION_SEVERITY } from "../../src/core/interruption.ts";
import {
  createDetectors,
  DEFAULT_DETECTOR_OPTIONS,
  type DetectorOptions,
} from "../../src/detectors/catalog.ts";

/** A start of time for tests, in milliseconds since the epoch. */
export const START_MS = Date.UTC(2026, 10, 21, 8);

type Extra = Partial<Omit<ObserverEvent, "data" | "kind">>;

/** An event without place in the stream; `inOrder` gives it one. */
export function event(kind: EventKind, data: EventData = {}, extra: Extra = {}): ObserverEvent {
  return {
    seq: 0,
    id: "",
    kind,
    source: "test",
    timeMs: Number.NaN,
    receivedMs: 0,
    host: "h",
    sessionId: "s1",
    ...extra,
    data,
  };
}

export function withoutSession(one: ObserverEvent): ObserverEvent {
  const { sessionId: _, ...rest } = one;
  return rest;
}

/** Numbers the events and sets them 100 ms apart, where they have no time of their own. */
export function inOrder(events: ObserverEvent[]): ObserverEvent[] {
  return events.map((one, i) => ({
    ...one,
    seq: i + 1,
    id: one.id === "" ? `e${i + 1}` : one.id,
    timeMs: Number.isNaN(one.timeMs) ? START_MS + i * 100 : one.timeMs,
  }));
}

/** A tool call and its result. */
export function call(
  tool: string,
  input: unknown,
  result: EventData = {},
  extra: Extra = {},
): ObserverEvent[] {
  const agent = result.agent_id === undefined ? {} : { agent_id: result.agent_id };
  return [
    event("tool_call", { tool, input, ...agent }, extra),
    event("tool_result", { tool, ok: true, ...result }, extra),
  ];
}

/** A shell command that fails. */
export function failing(
  command: string,
  error = "Exit code 1",
  extra: Extra = {},
): ObserverEvent[] {
  return call("Bash", { command }, { ok: false, error }, extra);
}

/** A shell command that succeeds. */
export function passing(command: string, output = "ok", extra: Extra = {}): ObserverEvent[] {
  return call("Bash", { command }, { output }, extra);
}

export function times<T>(count: number, make: (i: number) => T[]): T[] {
  return Array.from({ length: count }, (_, i) => make(i)).flat();
}

/** All findings, in order; the events are numbered first. */
export function findingsOf(
  events: ObserverEvent[],
  options: Partial<DetectorOptions> = {},
): Finding[] {
  const detectors = createDetectors({ ...DEFAULT_DETECTOR_OPTIONS, ...options });
  return inOrder(events).flatMap((one) => detectors.flatMap((detector) => detector.observe(one)));
}

export interface Row {
  type: InterruptionType;
  sessionId: string | undefined;
  fingerprint: string;
  count: number;
}

/** Rows that the findings make: repeats are counted, superseded rows change in place, proof alone opens nothing. */
export function rowsOf(findings: Finding[]): Row[] {
  const rows: Row[] = [];
  for (const { type, fingerprint, sessionId, supersedes = [], addsProof } of findings) {
    const same = [{ type, fingerprint }, ...supersedes].map((one) => ({ sessionId, ...one }));
    const found = rows.filter((known) =>
      same.some(
        (one) =>
          one.type === known.type &&
          one.fingerprint === known.fingerprint &&
          (one.sessionId ?? undefined) === known.sessionId,
      ),
    );
    const [row, ...merged] = found;
    for (const one of merged) rows.splice(rows.indexOf(one), 1);
    if (row === undefined) {
      if (!addsProof) rows.push({ type, sessionId, fingerprint, count: 1 });
    } else {
      const count = row.count + (addsProof ? 0 : 1);
      Object.assign(row, { type, fingerprint, count, sessionId: row.sessionId ?? sessionId });
    }
  }
  return rows;
}

/** Types of the rows at severity medium or above. */
export function troubles(
  events: ObserverEvent[],
  options: Partial<DetectorOptions> = {},
): string[] {
  return rowsOf(findingsOf(events, options))
    .filter((row) => atLeast(INTERRUPTION_SEVERITY[row.type], "medium"))
    .map((row) => row.type);
}
