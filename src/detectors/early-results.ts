// Results that arrive before their calls: senders that report side by side do not keep the order.

import { createLruMap } from "./lru-map.ts";

// Per lane. Agents run a handful of calls at once, and a result runs ahead of its call by moments.
const RESULTS_MAX = 32;
const MATCHED = Symbol("matched");

export interface EarlyResults<T> {
  /** The result found its call. One more result of this call is told twice, not early. */
  matched(callId: string): void;
  /** Keeps the result for the call to come, unless the call has had its result. */
  hold(callId: string, result: T): void;
  /** The result that waits for this call, which has its result with that; undefined when none waits. */
  take(callId: string): T | undefined;
}

/** At most 32 results that found their call or wait for it; the longest unused goes first. */
export function createEarlyResults<T>(): EarlyResults<T> {
  const results = createLruMap<string, { value: T } | typeof MATCHED>(RESULTS_MAX);
  return {
    matched: (callId) => results.set(callId, MATCHED),
    hold(callId, value) {
      if (results.get(callId) === undefined) results.set(callId, { value });
    },
    take(callId) {
      const result = results.get(callId);
      if (result === undefined) return undefined;
      if (result === MATCHED) {
        // A new call under a used id: its result is yet to come.
        results.delete(callId);
        return undefined;
      }
      results.set(callId, MATCHED);
      return result.value;
    },
  };
}
