// Claude Code's transcripts: cost of a recorded one, usage counted once, and the same keys as the hooks.

import { describe, expect, test } from "bun:test";
import { join } from "node:path";

import * as fc from "fast-check";

import type { EventDraft } from "../../../src/core/event.ts";
import { parseClaudeCodeHook } from "../../../src/sources/hooks/claude-code.ts";
import { claudeCodeTranscript } from "../../../src/sources/transcripts/claude-code.ts";
import { SESSIONS, checkDraft, countBy, draftsOrRefusal, importAll, jsonWith } from "../support.ts";

const common = { sessionId: "s1", cwd: "/w", timestamp: "2026-11-20T10:00:00.000Z", uuid: "u1" };

function read(records: object[]): EventDraft[] {
  const parser = claudeCodeTranscript.open("x.jsonl");
  const drafts = records.flatMap((record, index) =>
    parser.line(JSON.stringify({ ...common, ...record }), index),
  );
  return [...drafts, ...parser.end()];
}

const assistant = (id: string, output: number, more: object = {}): object => ({
  type: "assistant",
  message: {
    id,
    model: "claude-sonnet-4-6",
    content: [{ type: "text", text: "x" }],
    usage: { input_tokens: 4, output_tokens: output },
  },
  ...more,
});
const calls = (drafts: EventDraft[]): EventDraft[] =>
  drafts.filter(({ kind }) => kind === "llm_call");

describe("claudeCodeTranscript", () => {
  test("prices the recorded transcript at 20.93 dollars, each message once", async () => {
    const { drafts, errors } = await importAll(
      join(SESSIONS, "transcript-20usd/transcript.jsonl.gz"),
    );
    expect(errors).toEqual([]);
    drafts.forEach((draft) => checkDraft(draft));
    expect(countBy(drafts)).toEqual({ prompt: 1, tool_call: 300, tool_result: 300, llm_call: 300 });
    expect(calls(drafts).reduce((sum, { data }) => sum + (data.cost_usd ?? 0), 0)).toBeCloseTo(
      20.93,
      2,
    );
    expect(drafts.filter(({ data }) => data.ok === false)).toHaveLength(300);
    expect(new Set(drafts.map(({ id }) => id)).size).toBe(901);
    expect(drafts.find(({ kind }) => kind === "tool_result")).toEqual({
      kind: "tool_result",
      source: "claude-code",
      id: "11111111-2222-4333-8444-555555555555:toolu_0000:result",
      timeMs: Date.UTC(2026, 10, 20, 10, 0, 12),
      sessionId: "11111111-2222-4333-8444-555555555555",
      agent: "claude-code",
      data: {
        cwd: "/home/dev/shop",
        version: "2.1.200",
        tool: "Bash",
        call_id: "toolu_0000",
        ok: false,
        error: "Exit code 1\nError: lock held",
      },
    });
  });

  test("gives calls, results and prompts the keys that the hooks give them", () => {
    const drafts = read([
      { type: "user", promptId: "p1", message: { content: "hi" } },
      {
        type: "assistant",
        message: {
          content: [{ type: "tool_use", id: "t1", name: "Bash", input: { command: "ls" } }],
        },
      },
      {
        type: "user",
        message: { content: [{ type: "tool_result", tool_use_id: "t1", content: "a" }] },
      },
    ]);
    const hooks = [
      { hook_event_name: "UserPromptSubmit", prompt_id: "p1", prompt: "hi" },
      { hook_event_name: "PreToolUse", tool_use_id: "t1", tool_name: "Bash" },
      { hook_event_name: "PostToolUse", tool_use_id: "t1", tool_name: "Bash", tool_response: {} },
    ].flatMap((body) => parseClaudeCodeHook({ ...body, session_id: "s1" }));
    const keys = (all: EventDraft[]) => all.map(({ kind, source, id }) => [kind, source, id]);
    expect(keys(drafts)).toEqual(keys(hooks));
    expect(drafts[2]?.data).toMatchObject({ tool: "Bash", ok: true, output: "a" });
  });

  test("counts a message once, by its largest output, when another begins or the file ends", () => {
    const drafts = read([
      assistant("m1", 2),
      {
        type: "user",
        message: { content: [{ type: "tool_result", tool_use_id: "t", content: "x" }] },
      },
      assistant("m1", 40),
      assistant("m2", 7),
      assistant("m2", 3),
    ]);
    expect(calls(drafts).map(({ id, data }) => [id, data.usage?.output])).toEqual([
      ["msg:m1", 40],
      ["msg:m2", 7],
    ]);
  });

  test("counts messages of interleaved subagents once each", () => {
    const side = { isSidechain: true, agentId: "a1" };
    const drafts = read([
      assistant("m1", 1),
      assistant("m2", 1, side),
      assistant("m1", 9),
      assistant("m2", 8, side),
    ]);
    expect(calls(drafts).map(({ id, data }) => [id, data.usage?.output, data.agent_id])).toEqual([
      ["msg:m1", 9, undefined],
      ["msg:m2", 8, "a1"],
    ]);
  });

  test("keeps the buckets of the cache apart and prices an hour's more", () => {
    const usage = {
      input_tokens: 1,
      output_tokens: 1,
      cache_read_input_tokens: 10,
      cache_creation_input_tokens: 0,
      cache_creation: { ephemeral_5m_input_tokens: 1_000, ephemeral_1h_input_tokens: 2_000 },
    };
    const message = { id: "m1", model: "claude-sonnet-4-6", stop_reason: "end_turn", usage };
    const [call] = read([{ type: "assistant", message }]);
    expect(call?.data).toMatchObject({
      usage: { input: 1, output: 1, cache_read: 10, cache_write: 3_000 },
      cache_write_5m: 1_000,
      cache_write_1h: 2_000,
      stop_reason: "end_turn",
      provider: "anthropic",
    });
    expect(call?.data.cost_usd).toBeCloseTo((3 + 15 + 3 + 3_750 + 12_000) / 1e6, 8);
  });

  test("leaves unpriced what the table does not know", () => {
    const usage = { input_tokens: 5, output_tokens: 1 };
    const priceOf = (message: object): number | undefined =>
      read([{ type: "assistant", message: { id: "m", ...message } }])[0]?.data.cost_usd;
    expect(priceOf({ model: "home-made-7b", usage })).toBeUndefined();
    expect(
      priceOf({ model: "claude-sonnet-4-6", usage: { ...usage, speed: "fast" } }),
    ).toBeUndefined();
  });

  test("reads failures of the provider from their fields", () => {
    const drafts = read([
      {
        type: "system",
        subtype: "api_error",
        error: {
          status: 529,
          message: "Overloaded",
          error: { error: { type: "overloaded_error" } },
        },
        retryAttempt: 2,
        maxRetries: 10,
        retryInMs: 500,
      },
      {
        type: "assistant",
        isApiErrorMessage: true,
        error: "rate_limit",
        apiErrorStatus: 429,
        message: {
          id: "m9",
          model: "<synthetic>",
          content: [{ type: "text", text: "limit reached" }],
          usage: { input_tokens: 0, output_tokens: 0 },
        },
      },
    ]);
    expect(drafts).toMatchObject([
      {
        kind: "llm_call",
        id: "s1:u1:api_error",
        data: {
          status: 529,
          error: "Overloaded",
          error_type: "overloaded_error",
          retry_attempt: 2,
        },
      },
      {
        kind: "llm_call",
        id: "msg:m9",
        data: { status: 429, error: "limit reached", error_type: "rate_limit" },
      },
    ]);
    expect(drafts[1]?.data.usage).toBeUndefined();
  });

  test("leaves out what is no prompt and unknown records, and invents no end", () => {
    expect(
      read([
        { type: "user", isMeta: true, message: { content: "caveat" } },
        { type: "user", isCompactSummary: true, message: { content: "summary" } },
        { type: "file-history-snapshot" },
        { type: "brand-new", message: { content: "x" } },
        { type: "system", subtype: "turn_duration", durationMs: 5 },
        { type: "summary", sessionId: undefined },
      ]),
    ).toEqual([]);
    const compact = {
      type: "system",
      subtype: "compact_boundary",
      compactMetadata: { preTokens: 9 },
    };
    expect(read([compact])).toMatchObject([
      { kind: "note", data: { note: "compact_boundary", pre_tokens: 9 } },
    ]);
  });

  test("gives whole drafts or a refusal for any JSON", () => {
    const names = [
      "type",
      "message",
      "content",
      "usage",
      "id",
      "model",
      "timestamp",
      "error",
      "uuid",
    ];
    const values = ["assistant", "user", "system", "tool_use", "tool_result", "api_error"];
    fc.assert(
      fc.property(fc.array(jsonWith(names, values), { maxLength: 5 }), (records) => {
        const parser = claudeCodeTranscript.open("x.jsonl");
        const lines = records.flatMap((record) => [
          record,
          { sessionId: "s1", type: "assistant", message: record },
          { sessionId: "s1", type: "user", message: { content: record } },
          {
            sessionId: "s1",
            type: "assistant",
            message: { id: "m", content: [record], usage: record },
          },
        ]);
        for (const line of lines) {
          draftsOrRefusal(() => parser.line(JSON.stringify(line), 0)).forEach((d) => checkDraft(d));
        }
        parser.end().forEach((draft) => checkDraft(draft));
      }),
    );
  });
});
