// `POST /event` bodies, by the contract and by the clients that already send them.

import { describe, expect, test } from "bun:test";

import * as fc from "fast-check";

import { parseOperation } from "../../src/sources/operations.ts";
import { NOW, checkDraft, draftsOrRefusal, jsonWith, now } from "./support.ts";

describe("parseOperation", () => {
  test("fills the defaults of an empty body", () => {
    expect(parseOperation({}, now)).toEqual({
      kind: "operation",
      source: "scenario",
      timeMs: NOW,
      data: {
        timestamp: "2026-11-21T08:00:00.000Z",
        endpoint: "scenario:fill",
        input_summary: "? ?×? in ?, ?",
        success: false,
        duration_ms: 0,
        output_summary: "failed",
        rescue_attempted: false,
        rescue_succeeded: false,
      },
    });
  });

  test("keeps what is given, unknown fields too", () => {
    const body = {
      timestamp: "2026-11-20T10:00:00.5Z",
      endpoint: "/fill",
      success: true,
      duration_ms: 12.5,
      source: "mcp",
      staffer_id: "james",
      sig_hash: "ab",
      event_kind: "fill",
      role: "nurse",
      city: "Toledo",
      state: "OH",
      count: 3,
      rescue_attempted: true,
      extra: { deep: [1] },
    };
    const draft = parseOperation(body, now);
    expect(draft.source).toBe("mcp");
    expect(draft.timeMs).toBe(Date.UTC(2026, 10, 20, 10, 0, 0, 500));
    const { source: _, ...rest } = body;
    expect(draft.data).toEqual({
      ...rest,
      input_summary: "fill nurse×3 in Toledo, OH",
      output_summary: "filled",
      rescue_succeeded: false,
    });
  });

  test.each([
    [{ error: "no candidates" }, "no candidates"],
    [{ error: { message: "boom", type: "db_error" } }, "boom"],
    [{ error: 42 }, "42"],
    [{ error: "e", output_summary: "o" }, "o"],
    [{}, "failed"],
  ])("sums a failure %j up as %s", (body, summary) => {
    expect(parseOperation(body, now).data.output_summary).toBe(summary);
  });

  test.each([
    [true, true],
    [1, true],
    ["no", true],
    [[], true],
    [{}, true],
    [0, false],
    ["", false],
    [null, false],
    [false, false],
  ])("takes success %p for %p", (success, expected) => {
    expect(parseOperation({ success }, now).data.success).toBe(expected);
  });

  test.each([["12"], [-1], [null], [NaN], [Infinity], [{}], [undefined]])(
    "takes duration_ms %p for 0",
    (duration) => {
      expect(parseOperation({ duration_ms: duration }, now).data.duration_ms).toBe(0);
    },
  );

  test.each([
    ["2026-11-20T10:00:00+02:00", Date.UTC(2026, 10, 20, 8)],
    ["2026-11-20 10:00:00.123456", Date.UTC(2026, 10, 20, 10, 0, 0, 123)],
    ["2026-11-20", Date.UTC(2026, 10, 20)],
    [1_795_168_803, 1_795_168_803_000],
    [1_795_168_803.25, 1_795_168_803_250],
    [1_795_168_803_000, 1_795_168_803_000],
    ["yesterday", NOW],
    ["2026-13-45T99:00:00Z", NOW],
    [-5, NOW],
    [1e300, NOW],
  ])("reads the timestamp %p", (timestamp, ms) => {
    const draft = parseOperation({ timestamp }, now);
    expect(draft.timeMs).toBe(ms);
    expect(draft.data["timestamp"]).toEqual(timestamp);
  });

  test.each([[null], [[]], ["x"], [5], [true]])("refuses a body that is %p", (body) => {
    expect(() => parseOperation(body, now)).toThrow("must be a JSON object");
  });

  test.each([
    [{ count: "x" }, 'operation field "count": got "x", must be a number'],
    [{ role: 5 }, 'operation field "role": got 5, must be a string'],
    [{ endpoint: {} }, 'operation field "endpoint": got {}, must be a string'],
    [
      { timestamp: [] },
      'operation field "timestamp": got [], must be an ISO 8601 string or an epoch number',
    ],
    [
      { rescue_attempted: "yes" },
      'operation field "rescue_attempted": got "yes", must be true or false',
    ],
  ])("refuses %j and names field, value and rule", (body, message) => {
    expect(() => parseOperation(body, now)).toThrow(message);
  });

  test("refuses what is nested too deeply", () => {
    const body = JSON.parse(`{"x":${"[".repeat(5_000)}${"]".repeat(5_000)}}`) as unknown;
    expect(() => parseOperation(body, now)).toThrow("nested too deeply");
  });

  test("lifts session, agent, workspace and pid, and keeps them where they are not what they should be", () => {
    const draft = parseOperation({ session_id: "s1", agent: "a", workspace: "/w", pid: 7 }, now);
    expect(draft).toMatchObject({ sessionId: "s1", agent: "a", workspace: "/w", pid: 7 });
    const odd = parseOperation({ session_id: 5, pid: "x" }, now);
    expect(odd.sessionId).toBeUndefined();
    expect(odd.data).toMatchObject({ raw_session_id: 5, raw_pid: "x" });
  });

  test("gives a whole draft or refuses, whatever the JSON", () => {
    const names = [
      "timestamp",
      "endpoint",
      "success",
      "error",
      "count",
      "pid",
      "tool",
      "__proto__",
    ];
    fc.assert(
      fc.property(jsonWith(names), (body) => {
        for (const draft of draftsOrRefusal(() => [parseOperation(body, now)])) {
          checkDraft(draft);
          expect(typeof draft.data.success).toBe("boolean");
          expect(draft.data.duration_ms).toBeGreaterThanOrEqual(0);
        }
      }),
    );
  });
});
