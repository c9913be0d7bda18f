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
  kept,
  mended,
  present,
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
  const op = checked(body);
  const timeMs = timeOf(op.timestamp) ?? now();
  const { session_id, agent, workspace, pid, ...fields } = op as OperationBody & EventData;
  return present<EventDraft>({
    kind: "operation",
    source: textOf(op.source) ?? "scenario",
    timeMs,
    // A claim that does not look like one stays in the data: these are not fields of an operation.
    sessionId: shortText(session_id),
    agent: shortText(agent),
    workspace: textOf(workspace),
    pid: isPid(pid) ? pid : undefined,
    data: operationData(fields, timeMs, {
      session_id: shortText(session_id) ? undefined : session_id,
      agent: shortText(agent) ? undefined : agent,
      workspace: textOf(workspace) ? undefined : workspace,
      pid: isPid(pid) ? undefined : pid,
    }),
  });
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

function operationData(fields: OperationBody & EventData, timeMs: number, odd: object): EventData {
  const { source: _, endpoint, input_summary, output_summary, error, ...rest } = fields;
  const success = Boolean(fields["success"]);
  const failure = errorOf(error);
  const [kind, role, count, city, state] = SUMMARY_PARTS.map((name) => fields[name] ?? "?");
  return {
    ...kept({ ...rest, ...odd }),
    timestamp: fields.timestamp ?? isoTime(timeMs),
    endpoint: endpoint ?? "scenario:fill",
    input_summary: input_summary ?? `${kind} ${role}×${count} in ${city}, ${state}`,
    success,
    duration_ms: durationOf(fields["duration_ms"]),
    output_summary: output_summary ?? (success ? "filled" : (failure.error ?? "failed")),
    ...failure,
    rescue_attempted: Boolean(fields.rescue_attempted),
    rescue_succeeded: Boolean(fields.rescue_succeeded),
  };
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
