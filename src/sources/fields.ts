// Reading fields of foreign JSON: every value is a claim of unknown type until one of these has looked at it.

import { hash } from "node:crypto";

import type { EventData } from "../core/event.ts";
import { ObserverError } from "../core/errors.ts";
import { clip } from "../core/text.ts";

export type Fields = Record<string, unknown>;

/** Deepest nesting that is kept, in levels: deeper bodies are attacks or bugs, and recursion must end. */
export const DEPTH_MAX = 64;
/** Longest id, session id or agent name, in UTF-16 units; UUIDs and vendors' ids are far below. */
export const ID_LENGTH_MAX = 256;
/** How much of a refused value a message quotes, in UTF-16 units. */
const QUOTE_MAX = 80;
/** Numbers below this are seconds, others milliseconds: 1e11 s is the year 5138, 1e11 ms is March 1973. */
const SECONDS_BELOW = 1e11;
/** Event times are kept between 1970 and 2200, so that every date library can show them. */
export const TIME_MAX_MS = Date.UTC(2200, 0, 1);
/** What replaces a value below `DEPTH_MAX` where the source must not refuse it. */
const TOO_DEEP = "[nested too deeply]";

const ISO_TIME =
  /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9}))?\s?(Z|[+-]\d\d(?::?\d\d)?)?)?$/i;

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value when it is a string with content. */
export function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** The value when it is a finite number. */
export function numberOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

/** A count: a non-negative safe integer, else 0. */
export function countOf(value: unknown): number {
  return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : 0;
}

/** A value as a message may quote it: JSON, one line, at most 80 characters. */
export function quote(value: unknown): string {
  return clip(JSON.stringify(value) ?? String(value), QUOTE_MAX);
}

/** The error every parser throws for input that is not what its source promises. */
export function invalid(message: string, detail: Fields = {}): ObserverError {
  return new ObserverError("invalid", message, { detail });
}

/**
 * Milliseconds of an ISO 8601 time; without a zone it is UTC. Undefined when it is none (30 February is none), or not
 * in 1970..2200.
 */
export function isoMs(text: string): number | undefined {
  const match = ISO_TIME.exec(text.trim());
  if (!match) return undefined;
  const [, date = "", time = "00:00", fraction = "", zone = "Z"] = match;
  const digits = /^[+-]\d\d$/.test(zone)
    ? `${zone}:00`
    : zone.replace(/^([+-]\d\d)(\d\d)$/, "$1:$2");
  // The engine takes 30 February for 2 March.
  const day = Date.parse(`${date}T00:00:00.000Z`);
  if (Number.isNaN(day) || !new Date(day).toISOString().startsWith(date)) return undefined;
  const millis = fraction.slice(0, 3).padEnd(3, "0");
  const seconds = time.length === 5 ? `${time}:00` : time;
  return inBounds(Date.parse(`${date}T${seconds}.${millis}${digits.toUpperCase()}`));
}

/** Milliseconds of an ISO text or of an epoch number in seconds or milliseconds. */
export function timeOf(value: unknown): number | undefined {
  if (typeof value === "string") return isoMs(value);
  const number = numberOf(value);
  if (number === undefined) return undefined;
  return inBounds(Math.floor(number < SECONDS_BELOW ? number * 1_000 : number));
}

/** Milliseconds of epoch seconds, whatever their size. */
export function secondsOf(value: unknown): number | undefined {
  const number = numberOf(value);
  return number === undefined ? undefined : inBounds(Math.floor(number * 1_000));
}

function inBounds(ms: number): number | undefined {
  return ms >= 0 && ms <= TIME_MAX_MS ? ms : undefined;
}

/** The natural key of a fact, the same by whichever way it came; undefined when a part is missing. */
export function naturalId(...parts: (string | undefined)[]): string | undefined {
  if (parts.some((part) => part === undefined)) return undefined;
  const id = parts.join(":");
  return id.length <= ID_LENGTH_MAX ? id : hash("sha256", id);
}

/** Whether a value is nested at most `DEPTH_MAX` deep; never looks deeper than that. */
export function isShallow(value: unknown, level = 0): boolean {
  if (typeof value !== "object" || value === null) return true;
  if (level >= DEPTH_MAX) return false;
  if (Array.isArray(value)) return value.every((item) => isShallow(item, level + 1));
  const fields = value as Fields;
  for (const key in fields) if (!isShallow(fields[key], level + 1)) return false;
  return true;
}

/**
 * The value with every string (and key) well-formed and nothing below `DEPTH_MAX`. The same object when
 * there was nothing to mend, which is nearly always.
 */
export function mended(value: unknown): unknown {
  return isSound(value, 0) ? value : mend(value, 0);
}

function isSound(value: unknown, level: number): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value !== "object" || value === null) return true;
  if (level >= DEPTH_MAX) return false;
  if (Array.isArray(value)) return value.every((item) => isSound(item, level + 1));
  const fields = value as Fields;
  for (const key in fields) {
    if (!key.isWellFormed() || !isSound(fields[key], level + 1)) return false;
  }
  return true;
}

function mend(value: unknown, level: number): unknown {
  if (typeof value === "string") return value.toWellFormed();
  if (typeof value !== "object" || value === null) return value;
  if (level >= DEPTH_MAX) return TOO_DEEP;
  if (Array.isArray(value)) return value.map((item: unknown) => mend(item, level + 1));
  // fromEntries defines properties, so that a key "__proto__" stays data.
  return Object.fromEntries(
    Object.entries(value).map(([key, child]) => [key.toWellFormed(), mend(child, level + 1)]),
  );
}

type TypeName = "string" | "number" | "boolean";
/** Types of the fields that code reads; usage is built by the parsers themselves. */
const READ_FIELDS: Record<string, TypeName> = {
  tool: "string",
  call_id: "string",
  ok: "boolean",
  error: "string",
  error_type: "string",
  duration_ms: "number",
  model: "string",
  provider: "string",
  stop_reason: "string",
  status: "number",
  cost_usd: "number",
  prompt: "string",
  note: "string",
  reason: "string",
  exit_code: "number",
  signal: "string",
  core_dumped: "boolean",
  in_flight: "boolean",
  cwd: "string",
  agent_id: "string",
  endpoint: "string",
  success: "boolean",
  input_summary: "string",
  output_summary: "string",
  staffer_id: "string",
  event_kind: "string",
  role: "string",
};
/** Names that the event's own envelope uses where it is shown; a vendor's field of that name must not hide it. */
const ENVELOPE = new Set([
  "seq",
  "id",
  "kind",
  "source",
  "time",
  "received",
  "session_id",
  "agent",
  "workspace",
  "pid",
  "host",
]);

/**
 * A vendor's remaining fields, safe to keep beside the ones that code reads: a field whose name is taken by the
 * envelope, or whose type is not the one that code expects, is kept as `raw_<name>`.
 */
export function kept(rest: Fields): EventData {
  return keptOf(mended(rest) as Fields, NOTHING);
}

const NOTHING: ReadonlySet<string> = new Set();

/** The same for fields that are mended already, without those in `taken`. */
export function keptOf(fields: Fields, taken: ReadonlySet<string>): EventData {
  const data: EventData = {};
  for (const key in fields) {
    const value = fields[key];
    if (value === undefined || value === null || taken.has(key)) continue;
    const expected = Object.hasOwn(READ_FIELDS, key) ? READ_FIELDS[key] : undefined;
    const clash = ENVELOPE.has(key) || (expected !== undefined && typeof value !== expected);
    define(data, clash || key === "usage" ? `raw_${key}` : key, value);
  }
  return data;
}

/** Sets a field; a key "__proto__" stays data. */
function define(fields: Fields, key: string, value: unknown): void {
  if (key !== "__proto__") fields[key] = value;
  else
    Object.defineProperty(fields, key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
}

/** `fields` without those that are undefined: exact optional properties must be absent, not undefined. */
export function present<T extends object>(fields: {
  [K in keyof T]: T[K] | undefined;
}): T {
  const given: Fields = {};
  for (const key in fields) if (fields[key] !== undefined) define(given, key, fields[key]);
  return given as T;
}

/** What went wrong, as text and a structured name, of an error in any of the shapes in use. */
export function errorOf(value: unknown): { error?: string; error_type?: string } {
  if (value === undefined || value === null || value === "" || value === false) return {};
  if (typeof value === "string") return { error: value };
  if (!isFields(value)) return { error: JSON.stringify(value) };
  const inner = isFields(value["error"]) ? errorOf(value["error"]) : {};
  const type = inner.error_type ?? textOf(value["type"]) ?? nameOf(value["code"]);
  const message =
    textOf(value["message"]) ?? inner.error ?? textOf(value["error"]) ?? JSON.stringify(value);
  return type === undefined ? { error: message } : { error: message, error_type: type };
}

function nameOf(code: unknown): string | undefined {
  return typeof code === "number" ? String(code) : textOf(code);
}
