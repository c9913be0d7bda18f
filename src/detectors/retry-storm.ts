// retry_storm: a session runs into the same provider or API error many times in a short while.

import type { Detector } from "../core/contracts.ts";
import type { ObserverEvent } from "../core/event.ts";
import { clip } from "../core/text.ts";
import { ERROR_CHARS_MAX, findingAt } from "./finding.ts";
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
      const error = providerError(event);
      if (error === null) return [];
      const key = errorKey(error);
      const known = remember(event, key);
      if (known.length < options.stormErrorsMin) return [];
      const storm = fullestWindow(known, event.timeMs, options.stormWindowMs);
      if (storm.length < options.stormErrorsMin) return [];
      return [
        findingAt(event, {
          type: "retry_storm",
          fingerprint: `storm:${key}`,
          summary: `${storm.length} equal provider errors: ${nameOf(error)}`,
          detail: detailOf({ event, error, count: storm.length }, options),
          evidence: storm.map((occurrence) => occurrence.eventId),
        }),
      ];
    },
  };
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

function nameOf(error: ProviderError): string {
  const name = error.errorType || (error.status === null ? "" : `status ${error.status}`);
  return [name, clip(error.message, ERROR_CHARS_MAX)].filter((part) => part !== "").join(", ");
}

function detailOf(
  { event, error, count }: { event: ObserverEvent; error: ProviderError; count: number },
  options: RetryStormOptions,
): Record<string, unknown> {
  return {
    limit: options.stormErrorsMin,
    value: count,
    window_ms: options.stormWindowMs,
    error_type: error.errorType || null,
    status: error.status,
    message: clip(error.message, ERROR_CHARS_MAX),
    provider: event.data.provider ?? null,
    model: event.data.model ?? null,
  };
}
