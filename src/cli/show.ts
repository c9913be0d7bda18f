// How values of the API are written for people: times, sizes, money, and text from agents.

import { clip, printable } from "../core/text.ts";
import { formatDuration, formatSize, parseDuration } from "../core/units.ts";
import type { Json } from "./client.ts";

/** Text of a field, empty where it is null or absent. */
export function text(row: Json, field: string): string {
  const value = row[field];
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value as string | number);
}

export function number(row: Json, field: string): number | null {
  const value = row[field];
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

export function object(row: Json, field: string): Json {
  const value = row[field];
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Json)
    : {};
}

export function objects(row: Json, field: string): Json[] {
  const value = row[field];
  return Array.isArray(value) ? value.filter((item): item is Json => typeof item === "object") : [];
}

/** "12 s ago", "4 min ago", "3 h ago", "2 d ago"; the date beyond a month. */
export function ago(iso: string, nowMs: number): string {
  const at = Date.parse(iso);
  if (Number.isNaN(at)) return "";
  const seconds = Math.round((nowMs - at) / 1_000);
  if (seconds < -1) return `in ${span(-seconds)}`;
  if (seconds < 1) return "now";
  return seconds > 30 * 86_400 ? iso.slice(0, 10) : `${span(seconds)} ago`;
}

function span(seconds: number): string {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** "1.2k", "3.4M". */
export function compact(value: number): string {
  if (value < 1_000) return String(value);
  if (value < 1_000_000) return `${(value / 1_000).toFixed(value < 10_000 ? 1 : 0)}k`;
  return `${(value / 1_000_000).toFixed(1)}M`;
}

export function size(value: number | null): string {
  return value === null ? "" : formatSize(value);
}

export function duration(value: number | null): string {
  return value === null ? "" : formatDuration(value);
}

/** "$0.42", with "+" when calls of unknown price come on top. */
export function cost(session: Json): string {
  const usd = number(session, "cost_usd") ?? 0;
  const more = (number(session, "unpriced_calls") ?? 0) > 0 ? "+" : "";
  return usd === 0 && more === "" ? "–" : `$${usd < 1 ? usd.toFixed(3) : usd.toFixed(2)}${more}`;
}

/** "1 file", "3 files". */
export function count(value: number, noun: string): string {
  return `${value} ${noun}${value === 1 ? "" : "s"}`;
}

/** A time given on the command line as ISO 8601: durations count back from now. */
export function timeArgument(value: string | undefined, nowMs: number): string | undefined {
  if (value === undefined) return undefined;
  const back = parseDuration(value);
  return new Date(back === null ? Date.parse(value) : nowMs - back).toISOString();
}

/** Longest text of an event that a line of a table may need; the table cuts it further. */
const SUMMARY_MAX = 300;

/** What an event says, in one line: the tool and its target, the error, the model, the outcome. */
export function eventSummary(event: Json): string {
  // Rows carry the event's own fields beside the common ones, or under `data`.
  const data = { ...event, ...object(event, "data") };
  const parts = [text(data, "tool"), text(data, "model"), text(data, "endpoint")];
  parts.push(target(data["input"]), text(data, "prompt"), text(data, "note"), text(data, "reason"));
  if (data["ok"] === false || data["success"] === false) parts.push("failed");
  parts.push(text(data, "error") || text(data, "output_summary"));
  const exit = number(data, "exit_code");
  if (exit !== null) parts.push(`exit ${exit}`);
  parts.push(text(data, "signal"));
  return clip(parts.filter((part) => part !== "").join(" · "), SUMMARY_MAX);
}

/** The field of a tool's input that says what it is about. */
function target(input: unknown): string {
  if (typeof input !== "object" || input === null) return typeof input === "string" ? input : "";
  for (const field of ["command", "file_path", "path", "pattern", "url", "query"]) {
    const value = (input as Json)[field];
    if (typeof value === "string") return value;
  }
  return JSON.stringify(input);
}

/** One printable line. */
export function line(row: Json, field: string): string {
  return printable(text(row, field));
}
