// Operations: outcomes of gateway calls and scenarios, as `POST /event` and ops.jsonl carry them.

import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";

import type { EventData, EventDraft } from "../core/event.ts";
import { isoTime } from "../core/text.ts";
import {
  DEPTH_MAX,
  ID_LENGTH_MAX,
  errorOf,
  invalid,
  isFields,
  isShallow,
  keptOf,
  mended,
  quote,
  textOf,
  timeOf,
} from "./fields.ts";

/** `null` counts as absent everywhere, as it always did. */
const Text = Type.Optional(Type.Union([Type.String(), Type.Null()]));
const Flag = Type.Optional(Type.Union([Type.Boolean(), Type.Number(), Type.Null()]));
const Name = Type.Optional(Type.Union([Type.String({ maxLength: ID_LENGTH_MAX }), Type.Null()]));
const Amount = Type.Optional(Type.Union([Type.Number(), Type.Null()]));

const OperationBody = Type.Object(
  {
    timestamp: Type.Optional(Type.Union([Type.String(), Type.Number(), Type.Null()])),
    endpoint: Text,
    input_summary: Text,
    output_summary: Text,
    source: Name,
    staffer_id: Text,
    sig_hash: Text,
    event_kind: Text,
    role: Text,
    city: Text,
    state: Text,
    count: Amount,
    rescue_attempted: Flag,
    rescue_succeeded: Flag,
  },
  { additionalProperties: true },
);
type OperationBody = Static<typeof OperationBody>;

const check = TypeCompiler.Compile(OperationBody);

const RULES: Record<string, string> = {
  timestamp: "must be an ISO 8601 string or an epoch number",
  count: "must be a number",
  rescue_attempted: "must be true or false",
  rescue_succeeded: "must be true or false",
  source: `must be a string of at most ${ID_LENGTH_MAX} characters`,
};

const SUMMARY_PARTS = ["event_kind", "role", "count", "city", "state"] as const;

/**
 * One operation, with the defaults of the contract. `duration_ms` that is no number, negative or not finite
 * is 0. A `timestamp` that cannot be read stays in the data as it came, and the event takes the time of receipt.
 * @throws ObserverError `invalid` when the body is no object or a known field has the wrong type.
 */
export function parseOperation(body: unknown, now: () => number): EventDraft {
  const op = checked(body) as OperationBody & EventData;
  const timeMs = timeOf(op.timestamp) ?? now();
  const draft: EventDraft = {
    kind: "operation",
    source: textOf(op.source) ?? "scenario",
    timeMs,
    data: operationData(op, timeMs),
  };
  takeClaims(op, draft);
  return draft;
}

/** Fields that are answered for elsewhere than in the loop over all of them. */
const TAKEN = new Set(["source", "error", "session_id", "agent", "workspace", "pid"]);

/** A claim that does not look like one stays in the data, as `raw_…`: these are not fields of an operation. */
function takeClaims(op: OperationBody & EventData, draft: EventDraft): void {
  const { session_id: sessionId, agent, workspace, pid } = op;
  if (shortText(sessionId)) draft.sessionId = sessionId as string;
  else keepRaw("session_id", sessionId, draft.data);
  if (shortText(agent)) draft.agent = agent as string;
  else keepRaw("agent", agent, draft.data);
  if (textOf(workspace)) draft.workspace = workspace as string;
  else keepRaw("workspace", workspace, draft.data);
  if (isPid(pid)) draft.pid = pid;
  else keepRaw("pid", pid, draft.data);
}

function keepRaw(name: string, value: unknown, data: EventData): void {
  if (value !== undefined && value !== null) data[`raw_${name}`] = value;
}

function checked(body: unknown): OperationBody {
  if (!isFields(body)) {
    throw invalid(`operation: got ${quote(body)}, must be a JSON object`);
  }
  if (!check.Check(body)) {
    const field = check.Errors(body).First()?.path.split("/")[1] ?? "";
    const rule = RULES[field] ?? "must be a string";
    throw invalid(`operation field "${field}": got ${quote(body[field])}, ${rule}`, {
      field,
      value: quote(body[field]),
      rule,
    });
  }
  if (!isShallow(body)) {
    throw invalid(`operation: nested too deeply, must be at most ${DEPTH_MAX} levels`);
  }
  return mended(body) as OperationBody;
}

function operationData(op: OperationBody & EventData, timeMs: number): EventData {
  const data = keptOf(op, TAKEN);
  const success = Boolean(op["success"]);
  Object.assign(data, errorOf(op.error));
  data["timestamp"] = op.timestamp ?? isoTime(timeMs);
  data.endpoint = op.endpoint ?? "scenario:fill";
  data.input_summary = op.input_summary ?? summaryOf(op);
  data.success = success;
  data.duration_ms = durationOf(op["duration_ms"]);
  data.output_summary = op.output_summary ?? (success ? "filled" : (data.error ?? "failed"));
  data["rescue_attempted"] = Boolean(op.rescue_attempted);
  data["rescue_succeeded"] = Boolean(op.rescue_succeeded);
  return data;
}

function summaryOf(op: OperationBody & EventData): string {
  const [kind, role, count, city, state] = SUMMARY_PARTS.map((name) => op[name] ?? "?");
  return `${kind} ${role}×${count} in ${city}, ${state}`;
}

function durationOf(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) && value > 0 ? value : 0;
}

function shortText(value: unknown): string | undefined {
  const text = textOf(value);
  return text !== undefined && text.length <= ID_LENGTH_MAX ? text : undefined;
}

function isPid(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}
