// Reads the recorded sessions of test/fixtures/sessions as events, without the real parsers.

import { readdirSync } from "node:fs";
import type { EventData, EventKind, ObserverEvent } from "../../src/core/event.ts";

const SESSIONS_DIR = `${import.meta.dir}/../fixtures/sessions`;

interface HookBody {
  session_id: string;
  hook_event_name: string;
  [field: string]: unknown;
}

const KINDS: Record<string, EventKind> = {
  SessionStart: "session_start",
  SessionEnd: "session_end",
  UserPromptSubmit: "prompt",
  PreToolUse: "tool_call",
  PostToolUse: "tool_result",
  PostToolUseFailure: "tool_result",
};

export interface RecordedSession {
  dir: string;
  expected: { type: string; count: number }[];
  events: ObserverEvent[];
}

async function readLines(path: string): Promise<unknown[]> {
  const bytes = await Bun.file(path).bytes();
  const plain = path.endsWith(".gz") ? Bun.gunzipSync(bytes) : bytes;
  const lines = new TextDecoder().decode(plain).trim().split("\n");
  return lines.map((line) => JSON.parse(line) as unknown);
}

function dataOf(body: HookBody): EventData {
  const data: EventData = {
    tool: body["tool_name"] as string,
    call_id: body["tool_use_id"] as string,
    input: body["tool_input"],
    cwd: body["cwd"] as string,
  };
  const output = body["tool_response"] ?? body["tool_output"];
  if (body.hook_event_name === "PostToolUse") return { ...data, ok: true, output };
  if (body.hook_event_name === "PostToolUseFailure") {
    return { ...data, ok: false, error: (body["error"] ?? output) as string };
  }
  if (body.hook_event_name === "UserPromptSubmit") return { prompt: body["prompt"] as string };
  return body.hook_event_name === "Stop" ? { note: "turn_end" } : data;
}

function eventOf(body: HookBody, place: { seq: number; timeMs: number }): ObserverEvent {
  return {
    ...place,
    receivedMs: place.timeMs,
    id: `e${place.seq}`,
    kind: KINDS[body.hook_event_name] ?? "note",
    source: "claude-code",
    host: "h",
    agent: "claude-code",
    sessionId: body.session_id,
    data: dataOf(body),
  };
}

async function hookEvents(path: string): Promise<ObserverEvent[]> {
  const lines = (await readLines(path)) as { t: number; stdin: HookBody }[];
  return lines.map((line, i) => eventOf(line.stdin, { seq: i + 1, timeMs: 1e12 + line.t * 1000 }));
}

interface Block {
  type: string;
  id: string;
  name: string;
  input: unknown;
  tool_use_id: string;
  content: string;
  is_error?: boolean;
}

function bodyOf(block: Block, sessionId: string): HookBody | null {
  if (block.type === "tool_use") {
    return {
      session_id: sessionId,
      hook_event_name: "PreToolUse",
      tool_name: block.name,
      tool_use_id: block.id,
      tool_input: block.input,
    };
  }
  if (block.type !== "tool_result") return null;
  return {
    session_id: sessionId,
    hook_event_name: block.is_error === true ? "PostToolUseFailure" : "PostToolUse",
    tool_use_id: block.tool_use_id,
    tool_output: block.content,
  };
}

async function transcriptEvents(path: string): Promise<ObserverEvent[]> {
  const lines = (await readLines(path)) as {
    sessionId: string;
    timestamp: string;
    message?: { content: string | Block[] };
  }[];
  const events: ObserverEvent[] = [];
  for (const { sessionId, timestamp, message } of lines) {
    const blocks = typeof message?.content === "object" ? message.content : [];
    for (const block of blocks) {
      const body = bodyOf(block, sessionId);
      const place = { seq: events.length + 1, timeMs: Date.parse(timestamp) };
      if (body !== null) events.push(eventOf(body, place));
    }
  }
  return events;
}

/** Every recorded session with what the manifest expects of it at severity medium or above. */
export async function recordedSessions(): Promise<RecordedSession[]> {
  const manifest = (await Bun.file(`${SESSIONS_DIR}/manifest.json`).json()) as {
    dir: string;
    expect_medium_or_above: { type: string; count: number }[];
  }[];
  return Promise.all(
    manifest.map(async ({ dir, expect_medium_or_above: expected }) => {
      const name = readdirSync(`${SESSIONS_DIR}/${dir}`).find((file) => /^(hook|trans)/.test(file));
      if (name === undefined) throw new Error(`No recording in ${dir}`);
      const path = `${SESSIONS_DIR}/${dir}/${name}`;
      const read = name.startsWith("hook") ? hookEvents : transcriptEvents;
      return { dir, expected, events: await read(path) };
    }),
  );
}
