// The fields of a native event that have a type: their schemas, and the rule in words for whoever broke one.

import { Type, type TSchema } from "@sinclair/typebox";

import { EVENT_KINDS, type EventKind } from "../core/event.ts";
import { ID_LENGTH_MAX } from "./fields.ts";

interface FieldRule {
  schema: TSchema;
  /** Completes "field: got x, …". */
  rule: string;
}

/** PATH_MAX of Linux, in bytes. */
const PATH_LENGTH_MAX = 4096;
/** pid_max of 64-bit Linux. */
const PID_MAX = 4_194_304;
const INT32 = 2 ** 31;
const UINT32_MAX = 2 ** 32 - 1;

const nullable = (schema: TSchema): TSchema => Type.Optional(Type.Union([schema, Type.Null()]));
// The upper bound is stated because counts that JSON numbers cannot hold exactly are not counts.
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

const text: FieldRule = { schema: nullable(Type.String()), rule: "must be a string" };
const flag: FieldRule = { schema: nullable(Type.Boolean()), rule: "must be true or false" };
const amount: FieldRule = {
  schema: nullable(Type.Number({ minimum: 0 })),
  rule: "must be a number of 0 or more",
};
const name: FieldRule = {
  schema: nullable(Type.String({ minLength: 1, maxLength: ID_LENGTH_MAX })),
  rule: `must be a string of 1 to ${ID_LENGTH_MAX} characters`,
};
const path: FieldRule = {
  schema: nullable(Type.String({ minLength: 1, maxLength: PATH_LENGTH_MAX })),
  rule: `must be a path of 1 to ${PATH_LENGTH_MAX} characters`,
};
const errorField: FieldRule = {
  schema: nullable(Type.Union([Type.String(), Type.Object({}, { additionalProperties: true })])),
  rule: "must be a string or an object",
};
const usage: FieldRule = {
  schema: nullable(
    Type.Object(
      {
        input: nullable(Count),
        output: nullable(Count),
        cache_read: nullable(Count),
        cache_write: nullable(Count),
      },
      { additionalProperties: true },
    ),
  ),
  rule: "must be an object of non-negative integers: input, output, cache_read, cache_write",
};

/** Fields of every kind. `kind`, `time` and `error` get further looks in native.ts. */
const ENVELOPE: Record<string, FieldRule> = {
  kind: {
    schema: Type.Union(EVENT_KINDS.map((kind) => Type.Literal(kind))),
    rule: `must be one of ${EVENT_KINDS.join(", ")}`,
  },
  id: name,
  time: {
    schema: nullable(Type.Union([Type.String(), Type.Number()])),
    rule: "must be an ISO 8601 string or an epoch number (below 10^11 seconds, above milliseconds), from 1970 to 2200",
  },
  session_id: name,
  agent: name,
  workspace: path,
  pid: {
    schema: nullable(Type.Integer({ minimum: 1, maximum: PID_MAX })),
    rule: `must be an integer from 1 to ${PID_MAX}`,
  },
  host: name,
  source: name,
  cwd: text,
  agent_id: text,
};

const exit: Record<string, FieldRule> = {
  reason: text,
  exit_code: {
    schema: nullable(Type.Integer({ minimum: -INT32, maximum: UINT32_MAX })),
    rule: "must be a 32-bit integer",
  },
  signal: {
    schema: nullable(Type.Union([Type.String(), Type.Integer({ minimum: 0, maximum: 64 })])),
    rule: "must be a signal's name or number (0 to 64)",
  },
  core_dumped: flag,
  in_flight: flag,
  error: errorField,
  duration_ms: amount,
};
const outcome = { error: errorField, error_type: text };

/** What each kind adds. A field that is not listed for a kind is kept as it came, whatever its type. */
const BY_KIND: Record<EventKind, Record<string, FieldRule>> = {
  session_start: { reason: text, model: text },
  session_end: exit,
  prompt: { prompt: text },
  tool_call: { tool: text, call_id: text },
  tool_result: { tool: text, call_id: text, ok: flag, duration_ms: amount, ...outcome },
  llm_call: {
    model: text,
    provider: text,
    usage,
    stop_reason: text,
    status: {
      schema: nullable(Type.Integer({ minimum: 0, maximum: 999 })),
      rule: "must be an HTTP status: an integer from 0 to 999",
    },
    duration_ms: amount,
    cost_usd: amount,
    ...outcome,
  },
  operation: {},
  error: { status: { schema: nullable(Type.Integer()), rule: "must be an integer" }, ...outcome },
  file_access: { path: text },
  process_start: { reason: text },
  process_exit: exit,
  oom_kill: {},
  memory_pressure: {},
  note: { note: text },
};

/** Field rules of one kind, the envelope's included. */
export function rulesOf(kind: EventKind): Record<string, FieldRule> {
  return { ...ENVELOPE, ...BY_KIND[kind] };
}
