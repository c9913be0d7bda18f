// context_overflow: structured facts first, providers' texts only in errors of requests.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import type { EventData, ObserverEvent } from "../../src/core/event.ts";
import {
  event,
  failing,
  findingsOf,
  passing,
  rowsOf,
  troubles,
  withoutSession,
} from "../support/detector-scenario.ts";

const llm = (data: EventData): ObserverEvent[] => [
  event("llm_call", { provider: "p", model: "m", ...data }),
];
const refused = (error: string, status = 400): ObserverEvent[] => llm({ status, error });

const TEXTS = [
  "prompt is too long: 213462 tokens > 200000 maximum",
  "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
  "Input is too long for requested model.",
  "Your input exceeds the context window of this model",
  "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)",
  "This model's maximum prompt length is 131072 but the request contains 140000 tokens",
  "Please reduce the length of the messages or completion",
  "This model's maximum context length is 8192 tokens, however you requested 9000",
  "prompt token count of 140000 exceeds the limit of 128000",
  "request (9000 tokens) exceeds the available context size (8192 tokens)",
  "The number of tokens to keep is greater than the context length",
  "invalid params, context window exceeds limit",
  "Your request exceeded model token limit: 131072",
  "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
  "input tokens exceed the configured limit of 272000 tokens",
  "current length is 9000 while limit is 8192",
  "context_length_exceeded",
  "context window exceeded",
  "Context limit was exceeded",
  "the request exceeds the model's context window",
  "input exceeds maximum context length",
  "context overflow",
  "too many tokens",
];
const OTHER_TEXTS = [
  "Invalid 'messages[0].content': string too long. Expected maximum length 10485760",
  "too many tokens per minute: rate limit reached",
  "Token limit exceeded for your quota",
  "image exceeds the limit of 5 MB",
  "The number of images exceeds the limit of 100",
  "invalid x-api-key",
];

const scenarios: { name: string; events: ObserverEvent[]; found: boolean }[] = [
  ...TEXTS.map((text) => ({ name: text, events: refused(text), found: true })),
  ...OTHER_TEXTS.map((text) => ({ name: text, events: refused(text), found: false })),
  {
    name: "its own stop reason",
    events: llm({ stop_reason: "model_context_window_exceeded" }),
    found: true,
  },
  { name: "stop reason max_tokens", events: llm({ stop_reason: "max_tokens" }), found: false },
  {
    name: "error_type context_length_exceeded",
    events: llm({ status: 400, error_type: "context_length_exceeded" }),
    found: true,
  },
  { name: "413 without text", events: llm({ status: 413 }), found: true },
  {
    name: "413 request_too_large",
    events: llm({
      status: 413,
      error_type: "request_too_large",
      error: "Request exceeds the maximum size",
    }),
    found: false,
  },
  {
    name: "an error body without status",
    events: llm({ error: "prompt is too long" }),
    found: true,
  },
  {
    name: "an overflow text with status 429",
    events: refused("prompt is too long", 429),
    found: false,
  },
  {
    name: "an overflow text with status 500",
    events: refused("prompt is too long", 500),
    found: false,
  },
  {
    name: "an error event",
    events: [event("error", { error: "prompt is too long" })],
    found: true,
  },
  {
    name: "an error object from a native sender",
    events: [event("error", { error: { message: "prompt is too long" } as never })],
    found: true,
  },
  {
    name: "an error event of a tool",
    events: [event("error", { tool: "x", error: "prompt is too long" })],
    found: false,
  },
  {
    name: "a failed operation without session",
    events: [event("operation", { success: false, error: "prompt is too long" })].map(
      withoutSession,
    ),
    found: true,
  },
  {
    name: "a successful operation that speaks of it",
    events: [event("operation", { success: true, output_summary: "prompt is too long" })],
    found: false,
  },
  {
    name: "tool results and prompts that speak of it",
    events: [
      ...passing("cat log", "prompt is too long: context_length_exceeded"),
      ...failing("npm test", "maximum context length is 8192 tokens"),
      event("prompt", { prompt: "prompt is too long" }),
      event("note", { text: "prompt is too long" }),
    ],
    found: false,
  },
];

describe("context_overflow", () => {
  for (const { name, events, found } of scenarios) {
    test(`${name}: ${found ? "found" : "silent"}`, () => {
      expect(troubles(events)).toEqual(found ? ["context_overflow"] : []);
    });
  }

  test("makes one row for each provider and model, with what the provider said", () => {
    const other = [event("llm_call", { provider: "q", status: 413 })];
    const findings = findingsOf([
      ...refused("prompt is too long"),
      ...refused("prompt is too long"),
      ...other,
    ]);
    expect(rowsOf(findings).map(({ count }) => count)).toEqual([2, 1]);
    expect(findings[0]?.detail).toMatchObject({
      provider: "p",
      model: "m",
      status: 400,
      message: "prompt is too long",
    });
  });

  test("never looks at what is not the error of a request", () => {
    const kinds = [
      "tool_call",
      "tool_result",
      "prompt",
      "note",
      "file_access",
      "session_end",
    ] as const;
    const field = fc.constantFrom("output", "error", "prompt", "input", "note", "text", "reason");
    fc.assert(
      fc.property(
        fc.constantFrom(...kinds),
        field,
        fc.constantFrom(...TEXTS),
        (kind, name, text) => {
          expect(troubles([event(kind, { tool: "Bash", [name]: text })])).toEqual([]);
        },
      ),
    );
  });
});
