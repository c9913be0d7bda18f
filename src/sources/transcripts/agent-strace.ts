// Sessions recorded by agent-strace: `.agent-traces/<id>/events.ndjson` with `meta.json` beside it.

import { readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";

import type { FileSource } from "../../core/contracts.ts";
import type { EventData, EventDraft, EventKind } from "../../core/event.ts";
import {
  type Fields,
  ID_LENGTH_MAX,
  errorOf,
  isFields,
  kept,
  mended,
  naturalId,
  present,
  secondsOf,
  textOf,
} from "../fields.ts";
import { parseJsonLine, someLine } from "../json-line.ts";
import { type RecentMap, createRecentMap } from "../recent-map.ts";

const SOURCE = "agent-strace";
/** Calls whose result may still come. */
const CALLS_MAX = 4096;
/** A meta.json is about 1 kB; more than this is not one. */
const META_BYTES_MAX = 1024 * 1024;
/** How Claude Code begins the text of a failed result; imported sessions lost the flag itself. */
const FAILED_RESULT = /^(?:Exit code [1-9]|<tool_use_error>)/;

interface State {
  meta: Fields;
  /** Event ids of calls, by the request id that their results name where they name no parent. */
  requests: RecentMap<string>;
}

interface Line {
  event: Fields;
  data: Fields;
}

interface Shaped {
  kind: EventKind;
  data: EventData;
  /** Names of `data` fields that are said otherwise. */
  used: string[];
}

/** Reads what hooks, proxy, decorator and import of agent-strace write; unknown event types become notes. */
export const agentStraceSession: FileSource = {
  name: "agent-strace",
  recognises: (lines) =>
    someLine(lines, (line) => typeof line["event_type"] === "string" && "timestamp" in line),
  open: (path) => {
    const state: State = { meta: readMeta(path), requests: createRecentMap(CALLS_MAX) };
    return { line: (text) => eventDrafts(parseJsonLine(text), state), end: () => [] };
  },
};

/** `meta.json` beside `events.ndjson`, or an empty object: the events say enough without it. */
function readMeta(path: string): Fields {
  const name = basename(path)
    .replace(/^events/, "meta")
    .replace(/\.ndjson(?:\.\w+)?$/, ".json");
  const metaPath = join(dirname(path), name);
  if (!name.startsWith("meta")) return {};
  try {
    if (statSync(metaPath).size > META_BYTES_MAX) return {};
    const meta: unknown = JSON.parse(readFileSync(metaPath, "utf8"));
    return isFields(meta) ? meta : {};
  } catch {
    return {};
  }
}

function eventDrafts(raw: Fields, state: State): EventDraft[] {
  const event = mended(raw) as Fields;
  const type = textOf(event["event_type"]);
  if (type === undefined) return [];
  const data = isFields(event["data"]) ? event["data"] : {};
  const shape = Object.hasOwn(SHAPES, type) ? SHAPES[type] : undefined;
  const shaped = shape?.({ event, data }, state) ?? {
    kind: "note",
    data: { note: type },
    used: [],
  };
  const rest = Object.entries(data).filter(([name]) => !shaped.used.includes(name));
  const sessionId = textOf(event["session_id"]);
  const meta = sessionId !== undefined && sessionId === state.meta["session_id"] ? state.meta : {};
  const attribution = isFields(meta["attribution"]) ? meta["attribution"] : {};
  return [
    present<EventDraft>({
      kind: shaped.kind,
      source: SOURCE,
      id: naturalId(textOf(event["event_id"])),
      timeMs: secondsOf(event["timestamp"]),
      sessionId: sessionId?.slice(0, ID_LENGTH_MAX),
      agent: textOf(meta["agent_name"])?.slice(0, ID_LENGTH_MAX),
      data: {
        ...kept({
          cwd: textOf(attribution["working_dir"]),
          duration_ms: event["duration_ms"],
          ...Object.fromEntries(rest),
        }),
        ...shaped.data,
      },
    }),
  ];
}

const SHAPES: Record<string, (line: Line, state: State) => Shaped> = {
  session_start: ({ data }) => ({
    kind: "session_start",
    data: present<EventData>({ reason: textOf(data["source"]) }),
    used: ["source"],
  }),
  session_end: () => ({ kind: "session_end", data: {}, used: [] }),
  user_prompt: () => ({ kind: "prompt", data: {}, used: [] }),
  assistant_response: () => ({ kind: "note", data: { note: "assistant_response" }, used: [] }),
  tool_call: toolCall,
  tool_result: toolResult,
  error: failure,
  file_read: (line) => fileAccess(line, "read"),
  file_write: (line) => fileAccess(line, "write"),
};

function toolCall({ event, data }: Line, state: State): Shaped {
  const eventId = textOf(event["event_id"]);
  const request = requestKey(event, data["request_id"]);
  if (eventId !== undefined && request !== undefined) state.requests.set(request, eventId);
  return {
    kind: "tool_call",
    data: kept({ tool: textOf(data["tool_name"]), call_id: eventId, input: data["arguments"] }),
    used: ["tool_name", "arguments"],
  };
}

function toolResult(line: Line, state: State): Shaped {
  const { data } = line;
  const output = data["result"] ?? data["content_preview"];
  const imported = data["tool_use_id"] !== undefined;
  const failed = imported && typeof output === "string" && FAILED_RESULT.test(output);
  return {
    kind: "tool_result",
    data: {
      ...callFields(line, state),
      ok: !failed,
      ...(failed ? { error: output } : kept({ output })),
      // Says that the text decided, because an imported session does not carry the flag.
      ...(imported ? { ok_inferred: true } : {}),
    },
    used: ["tool_name", "result", "content_preview"],
  };
}

function failure(line: Line, state: State): Shaped {
  const { data } = line;
  const { error = "failed" } = errorOf(data["error"] ?? data["message"]);
  const code = data["code"];
  const type =
    textOf(data["exception_type"]) ?? (typeof code === "number" ? `${code}` : textOf(code));
  const used = ["tool_name", "error", "message", "exception_type", "code"];
  const what = present<EventData>({ error, error_type: type });
  if (textOf(data["tool_name"]) === undefined) return { kind: "error", data: what, used };
  return { kind: "tool_result", data: { ...callFields(line, state), ok: false, ...what }, used };
}

function callFields({ event, data }: Line, state: State): EventData {
  const request = requestKey(event, data["tool_use_id"] ?? data["request_id"]);
  const byRequest = request === undefined ? undefined : state.requests.get(request);
  return present<EventData>({
    tool: textOf(data["tool_name"]),
    call_id: textOf(event["parent_id"]) ?? byRequest,
  });
}

function requestKey(event: Fields, id: unknown): string | undefined {
  if (typeof id !== "string" && typeof id !== "number") return undefined;
  return `${String(event["session_id"])}:${id}`;
}

function fileAccess({ data }: Line, operation: string): Shaped {
  return {
    kind: "file_access",
    data: kept({ path: textOf(data["uri"]), operation }),
    used: ["uri"],
  };
}
