// retry_storm: a session runs into the same provider or API error many times in a short while.

import type { Detector } from "../core/contracts.ts";
import type { ObserverEvent } from "../core/event.ts";
import { clip } from "../core/text.ts";
import { overflowOf } from "./context-overflow.ts";
import { ERROR_CHARS_MAX, errorText, findingAt } from "./finding.ts";
import { createLruMap, type LruMap } from "./lru-map.ts";
import { errorKey, type ProviderError, providerError } from "./provider-error.ts";

// Different errors remembered per session, and occurrences of each: more than any limit asks for.
const ERRORS_MAX = 32;
const OCCURRENCES_MAX = 64;

export interface RetryStormOptions {
  /** Equal errors within the window that are reported. */
  stormErrorsMin: number;
  /** By the events' own time. */
  stormWindowMs: number;
  lanesMax: number;
}

interface ApiError extends ProviderError {
  /** What a failed operation called; null for errors of a provider. */
  endpoint: string | null;
}

interface Occurrence {
  timeMs: number;
  eventId: string;
}

/** Counts equal errors by event time; a successful call between them does not reset, the window does. */
export function createRetryStormDetector(options: RetryStormOptions): Detector {
  const sessions = createLruMap<string, LruMap<string, Occurrence[]>>(options.lanesMax);

  function remember(event: ObserverEvent, key: string): Occurrence[] {
    const session = `${event.host}\u0000${event.sessionId ?? ""}`;
    const errors = sessions.ensure(session, () => createLruMap<string, Occurrence[]>(ERRORS_MAX));
    const known = errors.ensure(key, () => []);
    known.push({ timeMs: event.timeMs, eventId: event.id });
    if (known.length > OCCURRENCES_MAX) known.shift();
    return known;
  }

  return {
    type: "retry_storm",
    observe(event) {
      if (event.sessionId === undefined) return [];
      const error = apiError(event);
      // One trouble, one interruption: a request that does not fit is reported as that.
      if (error === null || overflowOf(event) !== null) return [];
      const key = keyOf(error);
      const known = remember(event, key);
      if (known.length < options.stormErrorsMin) return [];
      const storm = fullestWindow(known, event.timeMs, options.stormWindowMs);
      if (storm.length < options.stormErrorsMin) return [];
      return [
        findingAt(event, {
          type: "retry_storm",
          fingerprint: `storm:${key}`,
          summary: `${storm.length} equal ${error.endpoint === null ? "provider" : "API"} errors: ${nameOf(error)}`,
          detail: detailOf({ event, error, count: storm.length }, options),
          evidence: storm.map((occurrence) => occurrence.eventId),
        }),
      ];
    },
  };
}

/** The error of a provider, or of the API that a failed operation called. */
function apiError(event: ObserverEvent): ApiError | null {
  const { kind, data } = event;
  if (kind !== "operation") {
    const error = providerError(event);
    return error && { ...error, endpoint: null };
  }
  if (data.success !== false) return null;
  const errorType = typeof data.error_type === "string" ? data.error_type : "";
  const status = typeof data.status === "number" ? data.status : null;
  return { errorType, status, message: errorText(data), endpoint: data.endpoint ?? "" };
}

// Operations are equal by endpoint and message: many endpoints share one error.
function keyOf(error: ApiError): string {
  if (error.endpoint === null) return errorKey(error);
  return errorKey({ ...error, errorType: `operation ${error.endpoint}` });
}

// Events may come late or from a clock that jumped: take the window around this event's own time that holds most.
function fullestWindow(known: Occurrence[], timeMs: number, windowMs: number): Occurrence[] {
  const sorted = known.toSorted((a, b) => a.timeMs - b.timeMs);
  let best: Occurrence[] = [];
  for (const first of sorted) {
    if (first.timeMs > timeMs || first.timeMs < timeMs - windowMs) continue;
    const end = first.timeMs + windowMs;
    const inside = sorted.filter((one) => one.timeMs >= first.timeMs && one.timeMs <= end);
    if (inside.length > best.length) best = inside;
  }
  return best;
}

function nameOf(error: ApiError): string {
  const name =
    error.endpoint || error.errorType || (error.status === null ? "" : `status ${error.status}`);
  return [name, clip(error.message, ERROR_CHARS_MAX)].filter((part) => part !== "").join(", ");
}

function detailOf(
  { event, error, count }: { event: ObserverEvent; error: ApiError; count: number },
  options: RetryStormOptions,
): Record<string, unknown> {
  return {
    limit: options.stormErrorsMin,
    value: count,
    window_ms: options.stormWindowMs,
    error_type: error.errorType || null,
    status: error.status,
    endpoint: error.endpoint,
    message: clip(error.message, ERROR_CHARS_MAX),
    provider: event.data.provider ?? null,
    model: event.data.model ?? null,
  };
}
