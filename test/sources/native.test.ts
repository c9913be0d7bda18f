// Native events: what is accepted, what is refused and with which words.

import { describe, expect, test } from "bun:test";

import * as fc from "fast-check";

import { EVENT_KINDS } from "../../src/core/event.ts";
import { canonicalJson } from "../../src/sources/canonical-json.ts";
import { asReported, parseNative } from "../../src/sources/native.ts";
import { NOW, checkDraft, draftsOrRefusal, jsonWith, now } from "./support.ts";

describe("parseNative", () => {
  test("takes the envelope apart and keeps the rest as data", () => {
    const draft = parseNative(
      {
        kind: "tool_result",
        id: "e1",
        time: "2026-11-20T10:00:00Z",
        session_id: "s1",
        agent: "codex",
        workspace: "/w",
        pid: 42,
        host: "vm",
        source: "script",
        tool: "Bash",
        ok: false,
        output: { a: 1 },
        extra: [1],
      },
      now,
    );
    expect(draft).toMatchObject({
      kind: "tool_result",
      id: "e1",
      timeMs: Date.UTC(2026, 10, 20, 10),
      sessionId: "s1",
      agent: "codex",
      workspace: "/w",
      pid: 42,
      host: "vm",
      source: "script",
    });
    expect(draft.data).toEqual({ tool: "Bash", ok: false, output: { a: 1 }, extra: [1] });
    expect(Number.isSafeInteger(draft.digest)).toBe(true);
  });

  test.each([
    ["2026-01-02T03:04:05Z", Date.UTC(2026, 0, 2, 3, 4, 5)],
    ["2026-01-02T03:04:05.123456+02:00", Date.UTC(2026, 0, 2, 1, 4, 5, 123)],
    ["2024-02-29", Date.UTC(2024, 1, 29)],
    [1_767_323_045_123, 1_767_323_045_123],
    [1_767_323_045.5, 1_767_323_045_500],
  ])("takes the time %p", (time, timeMs) => {
    expect(parseNative({ kind: "note", time }, now).timeMs).toBe(timeMs);
  });

  test.each(["2026-02-30T00:00:00Z", "2025-02-29", "2026-13-01", "2026-01-01T25:00:00Z", "", -1])(
    "refuses the time %p",
    (time) => {
      expect(() => parseNative({ kind: "note", time }, now)).toThrow(/"time"/);
    },
  );

  test("takes the least there can be", () => {
    expect(parseNative({ kind: "note" }, now)).toEqual({
      kind: "note",
      source: "native",
      data: {},
    });
    expect(parseNative({ kind: "note", id: null, pid: null, time: null }, now)).toEqual({
      kind: "note",
      source: "native",
      data: {},
    });
  });

  test.each(EVENT_KINDS)("accepts the kind %s", (kind) => {
    expect(parseNative({ kind }, now).kind).toBe(kind);
  });

  test.each<[object, string]>([
    [{ kind: "tool_cal" }, 'event field "kind": got "tool_cal", must be one of session_start,'],
    [{ kind: "tool_cal" }, 'nearest is "tool_call"'],
    [{ kind: "Prompt" }, 'nearest is "prompt"'],
    [{}, 'event field "kind": got undefined, must be one of'],
    [{ kind: "note", id: "" }, 'event field "id": got "", must be a string of 1 to 256 characters'],
    [{ kind: "note", id: "x".repeat(257) }, 'event field "id"'],
    [{ kind: "note", id: 5 }, 'event field "id": got 5'],
    [
      { kind: "note", time: "yesterday" },
      'event field "time": got "yesterday", must be an ISO 8601',
    ],
    [{ kind: "note", time: -1 }, 'event field "time": got -1'],
    [{ kind: "note", time: 8e12 }, 'event field "time"'],
    [{ kind: "note", time: 1e300 }, 'event field "time"'],
    [{ kind: "note", pid: 0 }, 'event field "pid": got 0, must be an integer'],
    [{ kind: "note", pid: 1.5 }, 'event field "pid": got 1.5'],
    [{ kind: "note", cwd: [] }, 'event field "cwd": got [], must be a string'],
    [{ kind: "tool_result", ok: "yes" }, 'event field "ok": got "yes", must be true or false'],
    [{ kind: "tool_result", duration_ms: -1 }, 'event field "duration_ms": got -1'],
    [
      { kind: "llm_call", usage: { input: -1 } },
      'event field "usage": got {"input":-1}, must be an object',
    ],
    [{ kind: "llm_call", usage: { input: 1.5 } }, 'event field "usage"'],
    [{ kind: "llm_call", usage: { input: 1e300 } }, 'event field "usage"'],
    [{ kind: "llm_call", status: "429" }, 'event field "status": got "429"'],
    [{ kind: "process_exit", exit_code: "1" }, 'event field "exit_code": got "1"'],
    [{ kind: "process_exit", signal: {} }, 'event field "signal": got {}'],
    [{ kind: "error", error: 5 }, 'event field "error": got 5, must be a string or an object'],
    [{ kind: "operation", count: "x" }, 'operation field "count": got "x", must be a number'],
  ])("refuses %j: %s", (body, message) => {
    expect(() => parseNative(body, now)).toThrow(message);
  });

  test.each([[null], [[]], ["x"], [1]])("refuses %p, which is no object", (body) => {
    expect(() => parseNative(body, now)).toThrow("must be a JSON object");
  });

  test("keeps a field of another kind whatever its type", () => {
    expect(parseNative({ kind: "note", status: "open" }, now)).toMatchObject({
      data: { status: "open" },
    });
  });

  test.each<[number | string, string | undefined]>([
    [9, "SIGKILL"],
    ["KILL", "KILL"],
    [34, "SIG34"],
    [0, undefined],
  ])("names the signal %p %p", (signal, name) => {
    expect(String(parseNative({ kind: "process_exit", signal }, now).data.signal)).toBe(
      String(name),
    );
  });

  test("turns a structured error into text and type", () => {
    const error = { type: "error", error: { type: "overloaded_error", message: "Overloaded" } };
    const { data } = parseNative({ kind: "llm_call", status: 529, error }, now);
    expect(data).toEqual({ status: 529, error: "Overloaded", error_type: "overloaded_error" });
    expect(parseNative({ kind: "error", error: { code: 7 } }, now).data.error_type).toBe("7");
  });

  test("completes usage and prices a known model", () => {
    const call = { kind: "llm_call", model: "claude-sonnet-4-6", usage: { input: 1_000_000 } };
    expect(parseNative({ ...call, time: NOW }, now).data).toMatchObject({
      usage: { input: 1_000_000, output: 0, cache_read: 0, cache_write: 0 },
      cost_usd: expect.any(Number),
    });
    expect(parseNative({ ...call, cost_usd: 0.5 }, now).data.cost_usd).toBe(0.5);
    expect(parseNative({ ...call, model: "nobody-knows" }, now).data.cost_usd).toBeUndefined();
  });

  test("gives operations the defaults of POST /event", () => {
    const draft = parseNative({ kind: "operation", id: "o1", time: NOW - 5, success: 1 }, now);
    expect(draft).toMatchObject({ id: "o1", source: "scenario", timeMs: NOW - 5 });
    expect(draft.data).toMatchObject({ success: true, output_summary: "filled" });
  });

  test("gives the same body the same digest whatever the order of its keys, and another body another", () => {
    const digest = (body: object): number | undefined => parseNative(body, now).digest;
    const one = digest({ kind: "note", id: "1", a: { x: 1, y: [2, { p: 1, q: 2 }] } });
    expect(digest({ a: { y: [2, { q: 2, p: 1 }], x: 1 }, id: "1", kind: "note" })).toBe(one);
    expect(digest({ kind: "note", id: "1", a: { x: 1, y: [2, { p: 1, q: 3 }] } })).not.toBe(one);
    expect(digest({ kind: "note", a: 1 })).toBeUndefined();
  });

  test("makes strings well-formed and refuses what is nested too deeply", () => {
    expect(parseNative({ kind: "note", note: "a\ud800b", id: "\udc00" }, now)).toMatchObject({
      id: "\ufffd",
      data: { note: "a\ufffdb" },
    });
    const deep = JSON.parse(`{"kind":"note","x":${"[".repeat(64)}${"]".repeat(64)}}`) as unknown;
    expect(() => parseNative(deep, now)).toThrow("at most 64 levels");
  });

  test("keeps __proto__ as a field and pollutes nothing", () => {
    const body = JSON.parse('{"kind":"note","__proto__":{"ok":1},"x":"\\ud800"}') as unknown;
    expect(JSON.stringify(parseNative(body, now).data)).toContain('"__proto__":{"ok":1}');
    expect(({} as Record<string, unknown>)["ok"]).toBeUndefined();
  });

  test("gives a whole draft or refuses, whatever the JSON", () => {
    const names = [
      "kind",
      "id",
      "time",
      "pid",
      "usage",
      "error",
      "signal",
      "input",
      "status",
      "ok",
    ];
    fc.assert(
      fc.property(
        jsonWith(names, [...EVENT_KINDS]),
        fc.constantFrom(...EVENT_KINDS),
        (body, kind) => {
          const whole = typeof body === "object" ? { ...body, kind } : body;
          for (const draft of draftsOrRefusal(() => [parseNative(whole, now)])) checkDraft(draft);
          draftsOrRefusal(() => [parseNative(body, now)]).forEach(checkDraft);
        },
      ),
    );
  });
});

describe("canonicalJson", () => {
  test("is JSON of the same value, and the same for every order of keys", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = canonicalJson(value);
        const again = JSON.parse(text) as unknown;
        expect(again).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(again)).toBe(text);
      }),
    );
  });
});

test("a sender that speaks as observer itself is shown as reporting it", () => {
  const now = (): number => 0;
  const fake = { kind: "process_exit", source: "kernel", id: "exit:0:1:2", pid: 1 };
  expect(asReported(parseNative(fake, now)).source).toBe("reported:kernel");
  expect(parseNative(fake, now).source).toBe("kernel");
  expect(asReported(parseNative({ ...fake, source: "loop" }, now)).source).toBe("loop");
});
