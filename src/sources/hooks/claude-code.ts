// Claude Code's hook bodies. Unknown events become notes and unknown fields stay: the vendor adds both often.

import type { EventData, EventDraft, EventKind } from "../../core/event.ts";
import {
  type Fields,
  ID_LENGTH_MAX,
  errorOf,
  isFields,
  kept,
  naturalId,
  present,
  textOf,
} from "../fields.ts";

export const CLAUDE_CODE = "claude-code";

/** HTTP status that stands behind the vendor's names of API failures. */
const STATUS_OF_FAILURE: Record<string, number> = {
  invalid_request: 400,
  authentication_failed: 401,
  billing_error: 402,
  oauth_org_not_allowed: 403,
  model_not_found: 404,
  rate_limit: 429,
  server_error: 500,
  overloaded: 529,
};

interface Shaped {
  kind: EventKind;
  /** The part of the natural key after the session. */
  key?: (string | undefined)[];
  data: EventData;
  /** Fields of the body that `data` already says. */
  used: string[];
}

/** Events that have a meaning of their own; every other name becomes a note of that name. */
const SHAPES: Record<string, (body: Fields) => Shaped> = {
  SessionStart: (body) => ({
    kind: "session_start",
    data: present<EventData>({ reason: textOf(body["source"]) }),
    used: ["source"],
  }),
  SessionEnd: () => ({ kind: "session_end", data: {}, used: [] }),
  UserPromptSubmit: (body) => ({
    kind: "prompt",
    key: [textOf(body["prompt_id"]), "prompt"],
    data: {},
    used: [],
  }),
  PreToolUse: (body) => ({
    kind: "tool_call",
    key: [textOf(body["tool_use_id"]), "call"],
    data: {},
    used: [],
  }),
  PostToolUse: toolResult,
  PostToolUseFailure: toolFailure,
  StopFailure: stopFailure,
  Stop: () => ({ kind: "note", data: { note: "turn_end" }, used: [] }),
  SubagentStop: () => ({ kind: "note", data: { note: "subagent_end" }, used: [] }),
};

/**
 * The draft of one hook body; none when it is no object or names no session. Never throws. Tool calls, results
 * and prompts carry the same natural keys as the transcript's, so that the same fact by both ways is one event.
 */
export function parseClaudeCodeHook(body: unknown): EventDraft[] {
  if (!isFields(body)) return [];
  const session = textOf(body["session_id"])?.toWellFormed();
  if (session === undefined || session.length > ID_LENGTH_MAX) return [];
  const event = textOf(body["hook_event_name"]) ?? "unknown";
  const shape = Object.hasOwn(SHAPES, event) ? SHAPES[event] : undefined;
  const shaped = shape?.(body) ?? { kind: "note", data: { note: snakeCase(event) }, used: [] };
  return [
    present<EventDraft>({
      kind: shaped.kind,
      source: CLAUDE_CODE,
      id: shaped.key ? naturalId(session, ...shaped.key)?.toWellFormed() : undefined,
      sessionId: session,
      agent: CLAUDE_CODE,
      data: { ...rest(body, shaped), ...shaped.data },
    }),
  ];
}

/** What the shape did not say itself, under our names where they differ from the vendor's. */
function rest(body: Fields, shaped: Shaped): EventData {
  const { session_id: _, ...fields } = body;
  for (const name of shaped.used) delete fields[name];
  if (shaped.kind === "tool_call" || shaped.kind === "tool_result") {
    rename(fields, "tool_name", "tool");
    rename(fields, "tool_use_id", "call_id");
    rename(fields, "tool_input", "input");
  }
  return kept(fields);
}

function rename(fields: Fields, from: string, to: string): void {
  if (!Object.hasOwn(fields, from)) return;
  fields[to] = fields[from];
  delete fields[from];
}

/** A result that arrived as success may still say inside that it failed or was interrupted. */
function toolResult(body: Fields): Shaped {
  // Older versions and relays say `tool_output`.
  const name = Object.hasOwn(body, "tool_response") ? "tool_response" : "tool_output";
  const output = body[name];
  const inside = isFields(output) ? output : {};
  const failed = inside["is_error"] === true || inside["isError"] === true;
  const interrupted = inside["interrupted"] === true;
  const said = failed ? (errorOf(inside["error"]).error ?? textOf(inside["stderr"])) : undefined;
  const data: EventData = { ok: !failed && !interrupted, ...kept({ output }) };
  if (interrupted) data["is_interrupt"] = true;
  if (!data.ok) data.error = (said ?? (interrupted ? "interrupted" : "failed")).toWellFormed();
  return { kind: "tool_result", key: [textOf(body["tool_use_id"]), "result"], data, used: [name] };
}

function toolFailure(body: Fields): Shaped {
  // Relays of the older shape put the text of the failure where a result would be.
  const name = ["error", "tool_output", "tool_response"].find(
    (field) => errorOf(body[field]).error,
  );
  return {
    kind: "tool_result",
    key: [textOf(body["tool_use_id"]), "result"],
    data: { ok: false, ...kept({ error: "failed", ...errorOf(name && body[name]) }) },
    used: name === undefined ? ["error"] : [name],
  };
}

function stopFailure(body: Fields): Shaped {
  const type = textOf(body["error"]) ?? "unknown";
  const status = Object.hasOwn(STATUS_OF_FAILURE, type) ? STATUS_OF_FAILURE[type] : undefined;
  const said = errorOf(body["error_details"]).error ?? textOf(body["last_assistant_message"]);
  return {
    kind: "error",
    data: kept({ error_type: type, error: said ?? type, status }),
    used: ["error", "error_details"],
  };
}

function snakeCase(name: string): string {
  return name
    .slice(0, ID_LENGTH_MAX)
    .toWellFormed()
    .replace(/(?<=[a-z0-9])[A-Z]/g, (letter) => `_${letter}`)
    .toLowerCase();
}
