// Claude Code's hooks: recorded sessions, every event, and bodies that are nonsense.

import { describe, expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import * as fc from "fast-check";

import { parseClaudeCodeHook } from "../../../src/sources/hooks/claude-code.ts";
import { SESSIONS, checkDraft, countBy, jsonWith } from "../support.ts";

interface Recorded {
  dir: string;
  variant: string;
  types: Record<string, number>;
}

const manifest = JSON.parse(readFileSync(join(SESSIONS, "manifest.json"), "utf8")) as Recorded[];

function recordedBodies(dir: string): unknown[] {
  const path = join(SESSIONS, dir, "hook-input.ndjson");
  const text = existsSync(path)
    ? readFileSync(path, "utf8")
    : gunzipSync(readFileSync(`${path}.gz`)).toString("utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { stdin: unknown }).stdin);
}

const base = { session_id: "s1", cwd: "/w", hook_event_name: "X" };
const one = (body: object) => parseClaudeCodeHook({ ...base, ...body })[0];

describe("parseClaudeCodeHook", () => {
  // The peer lost the second of the concurrent sessions, so its counts say nothing there.
  const comparable = manifest.filter(
    ({ variant, dir }) => variant !== "transcript" && dir !== "concurrent-cc",
  );
  test.each(comparable.map((entry) => [entry.dir, entry] as const))(
    "gives the manifest's counts for %s",
    (dir, { types }) => {
      const drafts = recordedBodies(dir).flatMap(parseClaudeCodeHook);
      drafts.forEach(checkDraft);
      expect(countBy(drafts)).toEqual({
        session_start: types["session_start"] ?? 0,
        prompt: types["user_prompt"] ?? 0,
        tool_call: types["tool_call"] ?? 0,
        tool_result: (types["tool_result"] ?? 0) + (types["error"] ?? 0),
        note: types["assistant_response"] ?? 0,
        session_end: types["session_end"] ?? 0,
      });
      const failed = drafts.filter(({ data }) => data.ok === false);
      expect(failed).toHaveLength(types["error"] ?? 0);
      expect(failed.every(({ data }) => data.error?.startsWith("Exit code"))).toBe(true);
    },
  );

  test("keeps concurrent sessions apart", () => {
    const drafts = recordedBodies("concurrent-cc").flatMap(parseClaudeCodeHook);
    const sessions = Map.groupBy(drafts, ({ sessionId }) => sessionId);
    expect([...sessions.values()].map(countBy)).toEqual([
      { session_start: 1, prompt: 1, tool_call: 4, tool_result: 4, note: 1, session_end: 1 },
      { session_start: 1, prompt: 1, tool_call: 5, tool_result: 5, note: 1, session_end: 1 },
    ]);
  });

  test("joins a call and its result by the tool use, under natural keys", () => {
    const call = { tool_name: "Bash", tool_input: { command: "ls" }, tool_use_id: "t1" };
    expect(one({ ...call, hook_event_name: "PreToolUse", agent_id: "sub" })).toEqual({
      kind: "tool_call",
      source: "claude-code",
      id: "s1:t1:call",
      sessionId: "s1",
      agent: "claude-code",
      data: {
        hook_event_name: "PreToolUse",
        cwd: "/w",
        tool: "Bash",
        call_id: "t1",
        input: { command: "ls" },
        agent_id: "sub",
      },
    });
    expect(
      one({
        ...call,
        hook_event_name: "PostToolUse",
        tool_response: { stdout: "a" },
        duration_ms: 3,
      }),
    ).toMatchObject({
      kind: "tool_result",
      id: "s1:t1:result",
      data: { ok: true, call_id: "t1", output: { stdout: "a" }, duration_ms: 3 },
    });
    expect(one({ ...call, hook_event_name: "PostToolUse", tool_output: "a" })?.data.output).toBe(
      "a",
    );
    expect(
      one({
        ...call,
        hook_event_name: "PostToolUseFailure",
        error: "Exit code 1",
        is_interrupt: true,
      }),
    ).toMatchObject({
      kind: "tool_result",
      id: "s1:t1:result",
      data: { ok: false, error: "Exit code 1", is_interrupt: true },
    });
  });

  test.each([
    [{ is_error: true, error: "boom" }, "boom"],
    [{ isError: true }, "failed"],
    [{ interrupted: true, stdout: "half" }, "interrupted"],
  ])("sees the failure inside the response %j", (response, error) => {
    const draft = one({ hook_event_name: "PostToolUse", tool_response: response });
    expect(draft?.data).toMatchObject({ ok: false, error, output: response });
  });

  test("names the HTTP status of API failures where it is known", () => {
    expect(
      one({ hook_event_name: "StopFailure", error: "rate_limit", error_details: "slow down" }),
    ).toMatchObject({
      kind: "error",
      data: { error_type: "rate_limit", error: "slow down", status: 429 },
    });
    expect(one({ hook_event_name: "StopFailure", error: "new_one" })?.data).toMatchObject({
      error_type: "new_one",
      error: "new_one",
    });
  });

  test.each([
    ["SessionStart", "session_start", { reason: "startup" }],
    ["SessionEnd", "session_end", { reason: "other" }],
    ["UserPromptSubmit", "prompt", { prompt: "hi" }],
    ["Stop", "note", { note: "turn_end" }],
    ["SubagentStop", "note", { note: "subagent_end" }],
    ["PreCompact", "note", { note: "pre_compact", trigger: "auto" }],
    ["PostCompact", "note", { note: "post_compact" }],
    ["Notification", "note", { note: "notification", message: "m" }],
    ["PermissionDenied", "note", { note: "permission_denied" }],
    ["ConfigChange", "note", { note: "config_change", raw_source: "startup" }],
    ["SomethingNew", "note", { note: "something_new" }],
    ["constructor", "note", { note: "constructor" }],
  ])("takes %s for %s", (event, kind, data) => {
    const more = { source: "startup", reason: "other", prompt: "hi", prompt_id: "p1" };
    const draft = one({ ...more, hook_event_name: event, trigger: "auto", message: "m", later: 1 });
    expect(draft?.kind as string).toBe(kind);
    expect(draft?.data).toMatchObject(data);
    expect(draft?.data["later"]).toBe(1);
    expect(draft?.id).toBe(event === "UserPromptSubmit" ? "s1:p1:prompt" : undefined);
    expect(draft?.workspace).toBeUndefined();
  });

  test.each([[null], [[]], ["x"], [{}], [{ session_id: 5 }], [{ session_id: "x".repeat(300) }]])(
    "gives nothing for %p",
    (body) => {
      expect(parseClaudeCodeHook(body)).toEqual([]);
    },
  );

  test("cuts what is nested too deeply instead of refusing it", () => {
    const input = JSON.parse(`${"[".repeat(9_000)}${"]".repeat(9_000)}`) as unknown;
    const draft = one({ hook_event_name: "PreToolUse", tool_input: input });
    expect(JSON.stringify(draft)).toContain("[nested too deeply]");
  });

  test("gives whole drafts for any JSON and never throws", () => {
    const events = [
      "PreToolUse",
      "PostToolUse",
      "PostToolUseFailure",
      "StopFailure",
      "SessionEnd",
      "Stop",
    ];
    const names = [
      "tool_name",
      "tool_input",
      "tool_response",
      "tool_use_id",
      "error",
      "cwd",
      "reason",
    ];
    const more = [
      "prompt",
      "duration_ms",
      "error_details",
      "agent_id",
      "is_error",
      "source",
      "usage",
    ];
    fc.assert(
      fc.property(jsonWith([...names, ...more]), fc.constantFrom(...events), (body, event) => {
        parseClaudeCodeHook(body).forEach(checkDraft);
        const fields = typeof body === "object" && !Array.isArray(body) ? body : {};
        const whole = { ...fields, session_id: "s\ud800", hook_event_name: event };
        const drafts = parseClaudeCodeHook(whole);
        expect(drafts).toHaveLength(1);
        drafts.forEach(checkDraft);
      }),
    );
  });
});
