// retry_storm: equal provider errors in a window of the events' own time.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import type { EventData, ObserverEvent } from "../../src/core/event.ts";
import {
  event,
  failing,
  findingsOf,
  START_MS,
  times,
  troubles,
  withoutSession,
} from "../support/detector-scenario.ts";

const MINUTE_MS = 60_000;

const llm = (data: EventData, minute = 0): ObserverEvent[] => [
  event("llm_call", { provider: "anthropic", ...data }, { timeMs: START_MS + minute * MINUTE_MS }),
];
const overloaded = (minute: number): ObserverEvent[] =>
  llm({ status: 529, error: "Overloaded", error_type: "overloaded_error" }, minute);

const failed = (endpoint: string, error: string): ObserverEvent[] => [
  event("operation", { endpoint, success: false, error }),
];

const scenarios: { name: string; events: ObserverEvent[]; troubles: string[] }[] = [
  { name: "four errors", events: times(4, overloaded), troubles: [] },
  { name: "five errors in five minutes", events: times(5, overloaded), troubles: ["retry_storm"] },
  {
    name: "five errors in exactly ten minutes",
    events: times(5, (i) => overloaded(i * 2.5)),
    troubles: ["retry_storm"],
  },
  {
    name: "one error every three minutes",
    events: times(20, (i) => overloaded(i * 3)),
    troubles: [],
  },
  {
    name: "successes in between",
    events: times(5, (i) => [...overloaded(i), ...llm({ status: 200 }, i)]),
    troubles: ["retry_storm"],
  },
  {
    name: "five unrelated errors of one status",
    events: times(5, (i) => llm({ status: 500, error: `broken part ${"abcde"[i] ?? ""}` })),
    troubles: [],
  },
  {
    name: "one error with other request ids, waits and attempts",
    events: times(5, (i) =>
      llm({
        status: 429,
        error: `Rate limit reached. Used ${i}01, Requested ${i}7. Try again in 1.${i}s (attempt ${i}/10, req_01${i}XYZabc)`,
      }),
    ),
    troubles: ["retry_storm"],
  },
  {
    name: "statuses without text",
    events: times(5, () => llm({ status: 503 })),
    troubles: ["retry_storm"],
  },
  {
    name: "error events without a tool",
    events: times(5, () => [event("error", { error: "connection refused" })]),
    troubles: ["retry_storm"],
  },
  {
    name: "error events of a tool",
    events: times(9, () => [event("error", { error: "connection refused", tool: "fetch" })]),
    troubles: [],
  },
  {
    name: "errors of five sessions",
    events: times(5, (i) => [event("llm_call", { status: 529 }, { sessionId: `s${i}` })]),
    troubles: [],
  },
  {
    name: "errors without a session",
    events: times(9, () => overloaded(0)).map(withoutSession),
    troubles: [],
  },
  {
    name: "429 in the output of tools and in prompts",
    events: times(9, (i) => [
      ...failing(`curl ${i}`, "429 rate_limit_error: Too many requests"),
      event("prompt", { prompt: "why do I get 429 rate_limit_error?" }),
    ]),
    troubles: [],
  },
  {
    name: "six requests that do not fit the context window",
    events: times(6, () => llm({ status: 400, error: "prompt is too long" })),
    troubles: ["context_overflow"],
  },
  {
    name: "failed operations of one endpoint with other request ids",
    events: times(5, (i) => failed("/fill", `no answer (req_01${i}XYZabc)`)),
    troubles: ["retry_storm"],
  },
  {
    name: "failed operations of different endpoints",
    events: times(9, (i) => failed(`/${"abcdefghi"[i] ?? ""}`, "no answer")),
    troubles: [],
  },
  {
    name: "failed operations with different errors",
    events: times(9, (i) => failed("/fill", `no ${"abcdefghi"[i] ?? ""}`)),
    troubles: [],
  },
  {
    name: "failed operations without a session",
    events: times(9, () => failed("/fill", "no answer")).map(withoutSession),
    troubles: [],
  },
  {
    name: "successful operations",
    events: times(9, () => [event("operation", { endpoint: "/fill", success: true })]),
    troubles: [],
  },
  {
    name: "failed operations that do not fit the context window",
    events: times(6, () => failed("/fill", "prompt is too long")),
    troubles: ["context_overflow"],
  },
  {
    name: "a clock that jumped ahead once",
    events: [...overloaded(0), ...overloaded(500_000), ...times(4, (i) => overloaded(i + 1))],
    troubles: ["retry_storm"],
  },
];

describe("retry_storm", () => {
  for (const { name, events, troubles: wanted } of scenarios) {
    test(`${name}: ${wanted.join(", ") || "silent"}`, () => {
      expect(troubles(events)).toEqual(wanted);
    });
  }

  test("counts on within the window and starts anew after it", () => {
    const events = [...times(7, overloaded), ...times(5, (i) => overloaded(60 + i))];
    const found = findingsOf(events).filter(({ type }) => type === "retry_storm");
    expect(found.map(({ detail }) => detail["value"])).toEqual([5, 6, 7, 5]);
    expect(found[0]?.detail).toMatchObject({
      limit: 5,
      status: 529,
      error_type: "overloaded_error",
    });
    expect(found[0]?.evidence).toEqual(["e1", "e2", "e3", "e4", "e5"]);
    expect(new Set(found.map(({ fingerprint }) => fingerprint)).size).toBe(1);
  });

  test("finds the storm in whatever order its events arrive", () => {
    const minutes = [0, 2, 4, 6, 8];
    fc.assert(
      fc.property(fc.shuffledSubarray(minutes, { minLength: 5 }), (order) => {
        expect(troubles(order.flatMap(overloaded))).toEqual(["retry_storm"]);
      }),
    );
  });
});
