// Native events: the shape of `POST /events`, checked field by field.

import { constants } from "node:os";

import { Type } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler } from "@sinclair/typebox/compiler";

import {
  EVENT_KINDS,
  type EventData,
  type EventDraft,
  type EventKind,
  type Usage,
} from "../core/event.ts";
import { canonicalJson, digestOf } from "./canonical-json.ts";
import {
  DEPTH_MAX,
  type Fields,
  countOf,
  errorOf,
  invalid,
  isFields,
  isShallow,
  mended,
  present,
  quote,
  textOf,
  timeOf,
  without,
} from "./fields.ts";
import { rulesOf } from "./native-fields.ts";
import { nearest } from "../core/nearest.ts";
import { parseOperation } from "./operations.ts";
import { priceCall } from "./price.ts";

const KINDS: readonly string[] = EVENT_KINDS;
const SIGNAL_NAMES = new Map(
  Object.entries(constants.signals).map(([name, number]) => [number, name]),
);

// Compiled when a kind is first seen, then kept: there are as many as kinds.
const compiled = new Map<EventKind, TypeCheck<ReturnType<typeof Type.Object>>>();

/** Sources whose events have keys made of facts that a sender can guess: only observer itself speaks as these. */
const OWN_SOURCES = new Set(["kernel", "observer"]);

/**
 * The draft of a sender who may not speak as observer itself: one that claims to is shown as reporting it, so that a
 * forged fact never takes the place of the real one.
 */
export function asReported(draft: EventDraft): EventDraft {
  const { source } = draft;
  return OWN_SOURCES.has(source) ? { ...draft, source: `reported:${source}` } : draft;
}

/**
 * One native event. Unknown fields are kept; `null` counts as absent; strings are made well-formed.
 * A call without `cost_usd` is priced where its model is known.
 * @throws ObserverError `invalid`, with the field, what it was, and the rule it broke.
 */
export function parseNative(raw: unknown, now: () => number): EventDraft {
  if (!isFields(raw)) throw invalid(`event: got ${quote(raw)}, must be a JSON object`);
  const kind = kindOf(raw["kind"]);
  if (!isShallow(raw)) {
    throw invalid(`event: nested too deeply, must be at most ${DEPTH_MAX} levels`);
  }
  checkFields(kind, raw);
  const timeMs = timeGiven(raw["time"]);
  const fields = withoutNulls(mended(raw) as Fields);
  const id = textOf(fields["id"]);
  const envelope = {
    id,
    sessionId: textOf(fields["session_id"]),
    agent: textOf(fields["agent"]),
    workspace: textOf(fields["workspace"]),
    pid: fields["pid"] as number | undefined,
    host: textOf(fields["host"]),
    // Without an id nothing can be the same event twice, so nothing is hashed.
    digest: id === undefined ? undefined : digestOf(canonicalJson(raw)),
  };
  if (kind === "operation") return operation(fields, { envelope, timeMs, now });
  return present<EventDraft>({
    kind,
    source: textOf(fields["source"]) ?? "native",
    timeMs,
    ...envelope,
    data: dataOf(kind, fields, timeMs ?? now()),
  });
}

function kindOf(value: unknown): EventKind {
  if (typeof value === "string" && KINDS.includes(value)) return value as EventKind;
  const near = typeof value === "string" ? nearest(value, KINDS) : null;
  const rule = `must be one of ${KINDS.join(", ")}`;
  const hint = near === null ? "" : `; nearest is "${near}"`;
  throw invalid(`event field "kind": got ${quote(value)}, ${rule}${hint}`, {
    field: "kind",
    value: quote(value),
    rule,
    ...(near === null ? {} : { nearest: near }),
  });
}

function checkFields(kind: EventKind, raw: Fields): void {
  let check = compiled.get(kind);
  if (!check) {
    const rules = Object.entries(rulesOf(kind)).map(([name, { schema }]) => [name, schema]);
    check = TypeCompiler.Compile(Type.Object(Object.fromEntries(rules)));
    compiled.set(kind, check);
  }
  if (check.Check(raw)) return;
  const field = check.Errors(raw).First()?.path.split("/")[1] ?? "";
  throw broken(field, raw[field], rulesOf(kind)[field]?.rule ?? "has the wrong type");
}

function broken(field: string, value: unknown, rule: string): Error {
  return invalid(`event field "${field}": got ${quote(value)}, ${rule}`, {
    field,
    value: quote(value),
    rule,
  });
}

function timeGiven(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  const ms = timeOf(value);
  if (ms !== undefined) return ms;
  throw broken("time", value, rulesOf("note")["time"]?.rule ?? "");
}

function withoutNulls(fields: Fields): Fields {
  return Object.values(fields).includes(null)
    ? Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null))
    : fields;
}

const ENVELOPE_NAMES = new Set([
  "kind",
  "id",
  "time",
  "session_id",
  "agent",
  "workspace",
  "pid",
  "host",
  "source",
]);

/** An operation reads its `source` by itself. */
const OPERATION_ENVELOPE_NAMES = new Set([...ENVELOPE_NAMES].filter((name) => name !== "source"));

function dataOf(kind: EventKind, fields: Fields, timeMs: number): EventData {
  const data: EventData = without(fields, ENVELOPE_NAMES);
  if (isFields(data["error"])) {
    const failure = errorOf(data["error"]);
    Object.assign(data, { ...failure, error_type: data.error_type ?? failure.error_type });
    if (data.error_type === undefined) delete data["error_type"];
  }
  if (typeof data["signal"] === "number" && (kind === "process_exit" || kind === "session_end")) {
    const number: number = data["signal"];
    // Signal 0 is how a wait status says that there was none.
    if (number === 0) delete data.signal;
    else data.signal = SIGNAL_NAMES.get(number) ?? `SIG${number}`;
  }
  if (kind === "llm_call") completeCall(data, timeMs);
  return data;
}

/** Missing buckets are 0, and the price is looked up unless the sender knows it. */
function completeCall(data: EventData, timeMs: number): void {
  if (!data.usage) return;
  const given = data.usage as unknown as Fields;
  const usage: Usage = {
    ...given,
    input: countOf(given["input"]),
    output: countOf(given["output"]),
    cache_read: countOf(given["cache_read"]),
    cache_write: countOf(given["cache_write"]),
  };
  data.usage = usage;
  if (data.cost_usd !== undefined || data.model === undefined) return;
  const cost = priceCall(
    present({
      model: data.model,
      provider: data.provider,
      usage,
      cacheWrite1h: countOf(data["cache_write_1h"]),
      timeMs,
    }),
  );
  if (cost !== null) data.cost_usd = cost;
}

/** An operation takes the defaults of `POST /event`; `time` is the envelope's name for its `timestamp`. */
function operation(
  fields: Fields,
  at: { envelope: Partial<EventDraft> | object; timeMs: number | undefined; now: () => number },
): EventDraft {
  const body = without(fields, OPERATION_ENVELOPE_NAMES);
  const draft = parseOperation(body, () => at.timeMs ?? at.now());
  return present<EventDraft>({ ...draft, ...at.envelope, timeMs: at.timeMs ?? draft.timeMs });
}
