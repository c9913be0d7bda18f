// agent-strace's session files, as it really wrote them.

import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import * as fc from "fast-check";

import { agentStraceSession } from "../../../src/sources/transcripts/agent-strace.ts";
import { SESSIONS, checkDraft, countBy, draftsOrRefusal, importAll, jsonWith } from "../support.ts";

interface Recorded {
  dir: string;
  session_id: string;
  types: Record<string, number>;
}
const manifest = JSON.parse(readFileSync(join(SESSIONS, "manifest.json"), "utf8")) as Recorded[];

function eventsOf(dir: string): string {
  const path = join(SESSIONS, dir, "events.ndjson");
  return existsSync(path) ? path : `${path}.gz`;
}

const line = (event: object) =>
  agentStraceSession
    .open("/nowhere/events.ndjson")
    .line(
      JSON.stringify({ timestamp: 1_795_240_635.5, event_id: "e", session_id: "s", ...event }),
      0,
    );

describe("agentStraceSession", () => {
  test.each(manifest.map((entry) => [entry.dir, entry] as const))(
    "gives the manifest's counts for %s",
    async (dir, { types, session_id: sessionId }) => {
      const { drafts, errors } = await importAll(eventsOf(dir));
      expect(errors).toEqual([]);
      drafts.forEach((draft) => checkDraft(draft));
      const expected = {
        session_start: types["session_start"] ?? 0,
        prompt: types["user_prompt"] ?? 0,
        tool_call: types["tool_call"] ?? 0,
        tool_result: (types["tool_result"] ?? 0) + (types["error"] ?? 0),
        note: types["assistant_response"] ?? 0,
        session_end: types["session_end"] ?? 0,
      };
      const counts = countBy(drafts);
      for (const [kind, count] of Object.entries(expected))
        expect([kind, counts[kind] ?? 0]).toEqual([kind, count]);
      expect(new Set(drafts.map(({ id }) => id)).size).toBe(drafts.length);
      expect(drafts.every((draft) => draft.sessionId === sessionId)).toBe(true);
      expect(drafts.every(({ agent }) => agent === "claude-code")).toBe(true);
      const callIds = new Set(
        drafts.filter(({ kind }) => kind === "tool_call").map(({ data }) => data.call_id),
      );
      const results = drafts.filter(({ kind }) => kind === "tool_result");
      expect(results.every(({ data }) => callIds.has(data.call_id))).toBe(true);
    },
  );

  test("takes agent and working directory from the meta.json of the same name", async () => {
    const { drafts } = await importAll(join(SESSIONS, "concurrent-cc/events-second.ndjson"));
    expect(drafts[0]).toMatchObject({
      kind: "session_start",
      agent: "claude-code",
      data: {
        cwd: "/home/dev/lab/concurrent-cc/shop",
        reason: "startup",
        model: "claude-sonnet-4-6",
      },
    });
    expect(drafts[0]?.workspace).toBeUndefined();
  });

  test("tells failed results of imported sessions by their first words, and says so", async () => {
    const { drafts } = await importAll(join(SESSIONS, "transcript-20usd/events.ndjson"));
    const results = drafts.filter(({ kind }) => kind === "tool_result");
    expect(results.every(({ data }) => data.ok === false && data["ok_inferred"] === true)).toBe(
      true,
    );
    const [fine] = line({
      event_type: "tool_result",
      data: { tool_use_id: "t", content_preview: "2 tests, Exit code 1" },
    });
    expect(fine?.data.ok).toBe(true);
  });

  test.each([
    [
      { event_type: "error", parent_id: "c", data: { tool_name: "Bash", error: "x" } },
      "tool_result",
    ],
    [{ event_type: "error", data: { message: "x", exception_type: "ValueError" } }, "error"],
    [{ event_type: "error", data: { code: -32_000, message: "x" } }, "error"],
    [{ event_type: "file_read", data: { uri: "file:///x" } }, "file_access"],
    [{ event_type: "llm_request", data: { model: "m", method: "x" } }, "note"],
    [{ event_type: "decision", data: { choice: "x" } }, "note"],
    [{ event_type: "something_new", data: { x: 1 }, extra: true }, "note"],
    [{ event_type: "tool_call" }, "tool_call"],
  ])("takes %j for %s", (event, kind) => {
    const [draft] = line(event);
    expect(draft?.kind as string).toBe(kind);
    expect(draft?.timeMs).toBe(1_795_240_635_500);
  });

  test("gives whole drafts or a refusal for any JSON", () => {
    const names = [
      "event_type",
      "data",
      "tool_name",
      "parent_id",
      "timestamp",
      "error",
      "result",
      "code",
    ];
    const values = ["tool_call", "tool_result", "error", "session_start", "file_read"];
    fc.assert(
      fc.property(jsonWith(names, values), fc.constantFrom(...values), (event, type) => {
        const whole = typeof event === "object" ? { ...event, event_type: type } : event;
        for (const any of [event, whole]) {
          const parser = agentStraceSession.open("/nowhere/events.ndjson");
          draftsOrRefusal(() => parser.line(JSON.stringify(any), 0)).forEach((d) => checkDraft(d));
        }
      }),
    );
  });
});
