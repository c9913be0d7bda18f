// The state of the page in its address, and how it writes values.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { describeEvent } from "../../src/dashboard/page/event-text.ts";
import { compact, cost, offset, shortAge } from "../../src/dashboard/page/format.ts";
import { parseRoute, routeHash, VIEWS } from "../../src/dashboard/page/route.ts";

describe("parseRoute", () => {
  test("reads back what routeHash wrote", () => {
    const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 });
    const params = fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), text);
    fc.assert(
      fc.property(fc.constantFrom(...VIEWS), fc.option(text), params, (view, id, params) => {
        expect(parseRoute(routeHash({ view, id, params }))).toEqual({
          view,
          id,
          params: { ...params },
        });
      }),
    );
  });

  test("takes any fragment", () => {
    fc.assert(fc.property(fc.string(), (hash) => expect(VIEWS).toContain(parseRoute(hash).view)));
    expect(parseRoute("")).toEqual({ view: "feed", id: null, params: {} });
    expect(parseRoute("#/sessions/%E0%A4%A").id).toBe("%E0%A4%A");
  });
});

describe("format", () => {
  test("ages, offsets, counts and money", () => {
    const now = Date.parse("2026-01-31T08:00:00.000Z");
    expect(shortAge("2026-01-31T07:56:00.000Z", now)).toBe("4m");
    expect(shortAge("no time", now)).toBe("");
    expect(offset(3_723_000)).toBe("+1:02:03");
    expect(offset(7_000)).toBe("+0:07");
    expect(compact(9_999)).toBe("9,999");
    expect(compact(12_345)).toBe("12.3k");
    expect(cost({ cost_usd: 0.0412, unpriced_calls: 1 })).toBe("$0.041+");
  });
});

describe("describeEvent", () => {
  const envelope = {
    id: "e",
    time: "",
    source: "s",
    session_id: null,
    agent: null,
    workspace: null,
  };

  test("a failed call is bad news, with its target and error", () => {
    const event = {
      ...envelope,
      kind: "tool_result",
      tool: "Bash",
      input: { command: "make" },
      ok: false,
      error: "no rule",
      duration_ms: 20,
    };
    expect(describeEvent(event)).toEqual({
      subject: "Bash",
      text: "make · no rule",
      bad: true,
      aside: "20 ms",
    });
  });

  test("what the kernel says of a process is text too", () => {
    const textOf = (fields: object): string =>
      describeEvent({ ...envelope, kind: "note", ...fields }).text;
    expect(textOf({ command: "claude -p x" })).toBe("claude -p x");
    expect(textOf({ comm: "hog", sources: ["kmsg", "vmstat"] })).toBe("hog · kmsg, vmstat");
    expect(textOf({ level: "freeze", usage_bytes: 80, limit_bytes: 100 })).toBe(
      "freeze: 80 % of the limit",
    );
  });

  test("takes any fields", () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.constantFrom(
            "tool",
            "input",
            "usage",
            "error",
            "ok",
            "exit_code",
            "duration_ms",
            "prompt",
            "level",
            "sources",
            "usage_bytes",
          ),
          fc.jsonValue(),
        ),
        (data) => {
          const { text } = describeEvent({ ...envelope, kind: "note", ...data });
          expect(text.length).toBeLessThanOrEqual(300);
        },
      ),
    );
  });
});
