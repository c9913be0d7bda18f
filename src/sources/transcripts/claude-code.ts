// Claude Code's transcripts: JSON lines of an undocumented, growing format, read with tolerance.

import type { FileSource } from "../../core/contracts.ts";
import type { EventData, EventDraft } from "../../core/event.ts";
import {
  type Fields,
  ID_LENGTH_MAX,
  errorOf,
  isFields,
  isoMs,
  kept,
  mended,
  naturalId,
  numberOf,
  present,
  textOf,
} from "../fields.ts";
import { CLAUDE_CODE } from "../hooks/claude-code.ts";
import { parseJsonLine, someLine } from "../json-line.ts";
import { type RecentMap, createRecentMap } from "../recent-map.ts";
import { type UsageCounter, createUsageCounter } from "./claude-code-usage.ts";

/** Calls whose result may still come; an agent has a handful in flight. */
const CALLS_MAX = 4096;
/** The vendor's name for messages that no model wrote. */
const SYNTHETIC_MODEL = "<synthetic>";
const RECORD_TYPES = new Set(["user", "assistant", "system"]);

interface State {
  usage: UsageCounter;
  /** Tool names by call id: a result names only the id. */
  tools: RecentMap<string>;
}

/** Reads `<session>.jsonl` and the files of its subagents. No session end is made up: the format has none. */
export const claudeCodeTranscript: FileSource = {
  name: "claude-code-transcript",
  recognises: (lines) =>
    someLine(lines, (line) => "sessionId" in line && typeof line["type"] === "string"),
  open: () => {
    const state: State = {
      usage: createUsageCounter(),
      tools: createRecentMap(CALLS_MAX),
    };
    return {
      line: (text) => recordDrafts(parseJsonLine(text), state),
      end: () => state.usage.end(),
    };
  },
};

function recordDrafts(raw: Fields, state: State): EventDraft[] {
  const sessionId = textOf(raw["sessionId"]) ?? textOf(raw["session_id"]);
  const known = RECORD_TYPES.has(textOf(raw["type"]) ?? "");
  if (!known || sessionId === undefined || sessionId.length > ID_LENGTH_MAX) return [];
  const record = mended(raw) as Fields;
  const base = baseOf(record, sessionId.toWellFormed());
  if (record["type"] === "system") return systemDrafts(record, base);
  const message = isFields(record["message"]) ? record["message"] : {};
  return record["type"] === "assistant"
    ? assistantDrafts({ record, message, base }, state)
    : userDrafts({ record, message, base }, state);
}

type Base = EventDraft & { sessionId: string };

function baseOf(record: Fields, sessionId: string): Base {
  const timestamp = textOf(record["timestamp"]);
  return present<Base>({
    kind: "note",
    source: CLAUDE_CODE,
    timeMs: timestamp === undefined ? undefined : isoMs(timestamp),
    sessionId,
    agent: CLAUDE_CODE,
    data: present<EventData>({
      cwd: textOf(record["cwd"]),
      agent_id: textOf(record["agentId"]),
      is_sidechain: record["isSidechain"] === true ? true : undefined,
      version: textOf(record["version"]),
    }),
  });
}

interface Message {
  record: Fields;
  message: Fields;
  base: Base;
}

function assistantDrafts({ record, message, base }: Message, state: State): EventDraft[] {
  if (record["isApiErrorMessage"] === true) return [apiFailure({ record, message, base })];
  const agentId = base.data.agent_id ?? (base.data["is_sidechain"] === true ? "sidechain" : "");
  const ended =
    message["model"] === SYNTHETIC_MODEL
      ? []
      : state.usage.assistant({ message, draft: base, lane: `${base.sessionId}:${agentId}` });
  return [...ended, ...blocksOf(message, "tool_use").map((block) => toolCall(block, base, state))];
}

function toolCall(block: Fields, base: Base, state: State): EventDraft {
  const callId = textOf(block["id"]);
  const tool = textOf(block["name"]);
  if (callId !== undefined && tool !== undefined) state.tools.set(callId, tool);
  return withId(naturalId(base.sessionId, callId, "call"), {
    ...base,
    kind: "tool_call",
    data: { ...base.data, ...kept({ tool, call_id: callId, input: block["input"] }) },
  });
}

function userDrafts({ record, message, base }: Message, state: State): EventDraft[] {
  const results = blocksOf(message, "tool_result");
  if (results.length > 0) return results.map((block) => toolResult(block, base, state));
  // Meta records and compaction summaries are written by the program, not by the user.
  if (record["isMeta"] === true || record["isCompactSummary"] === true) return [];
  const prompt = contentText(message["content"]);
  if (prompt === undefined) return [];
  const promptId = textOf(record["promptId"]) ?? textOf(record["uuid"]);
  return [
    withId(naturalId(base.sessionId, promptId, "prompt"), {
      ...base,
      kind: "prompt",
      data: { ...base.data, prompt },
    }),
  ];
}

function toolResult(block: Fields, base: Base, state: State): EventDraft {
  const callId = textOf(block["tool_use_id"]);
  const ok = block["is_error"] !== true;
  const said = contentText(block["content"]) ?? "";
  return withId(naturalId(base.sessionId, callId, "result"), {
    ...base,
    kind: "tool_result",
    data: present<EventData>({
      ...base.data,
      tool: callId === undefined ? undefined : state.tools.get(callId),
      call_id: callId,
      ok,
      output: ok ? said : undefined,
      error: ok ? undefined : said || "failed",
    }),
  });
}

/** A call that failed for good: an assistant record without a model. */
function apiFailure({ record, message, base }: Message): EventDraft {
  const messageId = textOf(message["id"]) ?? textOf(record["uuid"]);
  const type = textOf(record["error"]);
  return withId(messageId === undefined ? undefined : `msg:${messageId}`, {
    ...base,
    kind: "llm_call",
    data: present<EventData>({
      ...base.data,
      provider: "anthropic",
      error: contentText(message["content"]) ?? type ?? "API error",
      error_type: type,
      status: numberOf(record["apiErrorStatus"]),
    }),
  });
}

function systemDrafts(record: Fields, base: Base): EventDraft[] {
  const subtype = record["subtype"];
  if (subtype === "api_error") return [apiRetry(record, base)];
  if (subtype !== "compact_boundary") return [];
  const compact = isFields(record["compactMetadata"]) ? record["compactMetadata"] : {};
  return [
    withId(naturalId(base.sessionId, textOf(record["uuid"]), "compact"), {
      ...base,
      data: present<EventData>({
        ...base.data,
        note: "compact_boundary",
        trigger: textOf(compact["trigger"]),
        pre_tokens: numberOf(compact["preTokens"]),
        post_tokens: numberOf(compact["postTokens"]),
        duration_ms: numberOf(compact["durationMs"]),
      }),
    }),
  ];
}

/** A call that failed and is tried again. */
function apiRetry(record: Fields, base: Base): EventDraft {
  const raw = record["error"];
  const failure = errorOf(raw);
  return withId(naturalId(base.sessionId, textOf(record["uuid"]), "api_error"), {
    ...base,
    kind: "llm_call",
    data: present<EventData>({
      ...base.data,
      provider: "anthropic",
      error: failure.error ?? "API error",
      error_type: failure.error_type,
      status: isFields(raw) ? numberOf(raw["status"]) : undefined,
      retry_attempt: numberOf(record["retryAttempt"]),
      max_retries: numberOf(record["maxRetries"]),
      retry_in_ms: numberOf(record["retryInMs"]),
    }),
  });
}

function withId(id: string | undefined, draft: EventDraft): EventDraft {
  return id === undefined ? draft : { ...draft, id };
}

function blocksOf(message: Fields, type: string): Fields[] {
  const content = message["content"];
  if (!Array.isArray(content)) return [];
  return content.filter((block): block is Fields => isFields(block) && block["type"] === type);
}

/** The text of a content that is a string or a list of blocks; other blocks are named in brackets. */
function contentText(content: unknown): string | undefined {
  if (typeof content === "string") return textOf(content);
  if (!Array.isArray(content)) return undefined;
  const parts = content.filter(isFields).map((block) => {
    if (block["type"] === "text") return textOf(block["text"]) ?? "";
    return `[${textOf(block["type"]) ?? "block"}]`;
  });
  return textOf(parts.join("\n"));
}
