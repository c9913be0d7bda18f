// What an event says in one line: its subject, and whether it is bad news.

import { clip } from "../../core/text.ts";
import { compact, cost as money, duration } from "./format.ts";
import type { EventRow } from "./shapes.ts";

const TEXT_MAX = 300;

export interface EventText {
  /** Tool, model or endpoint. */
  subject: string;
  text: string;
  bad: boolean;
  /** Duration, exit status, price. */
  aside: string;
}

function field(event: EventRow, name: string): string {
  const value = event[name];
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value as string | number);
}

/** The field of a tool's input that says what it is about. */
function target(input: unknown): string {
  if (typeof input === "string") return input;
  if (typeof input !== "object" || input === null) return "";
  for (const name of ["command", "file_path", "path", "pattern", "url", "query"]) {
    const value = (input as Record<string, unknown>)[name];
    if (typeof value === "string") return value;
  }
  return JSON.stringify(input);
}

/** "in 840, out 610, cached 88.4k": the tokens of a model call. */
function usageText(usage: unknown): string {
  if (typeof usage !== "object" || usage === null) return "";
  const { input, output, cache_read: cached } = usage as Record<string, unknown>;
  return Object.entries({ in: input, out: output, cached })
    .filter((entry): entry is [string, number] => typeof entry[1] === "number" && entry[1] > 0)
    .map(([name, value]) => `${name} ${compact(value)}`)
    .join(", ");
}

/** What the kernel says of a process: its command line, who was killed and who says so, how full its memory is. */
function kernelText(event: EventRow): string {
  const level = field(event, "level");
  const percent =
    (100 * Number(event["usage_bytes"] ?? 0)) / (Number(event["limit_bytes"] ?? 0) || Infinity);
  const sources = event["sources"];
  return [
    field(event, "command"),
    field(event, "comm"),
    Array.isArray(sources) ? sources.join(", ") : "",
    level === "" ? "" : `${level}: ${Math.round(percent)} % of the limit`,
  ]
    .filter((text) => text !== "")
    .join(" · ");
}

export function describeEvent(event: EventRow): EventText {
  const error = field(event, "error");
  const bad = event["ok"] === false || event["success"] === false || error !== "";
  const first = ["tool", "model", "endpoint"].map((name) => field(event, name)).find(Boolean) ?? "";
  const texts = [
    target(event["input"]),
    field(event, "input_summary"),
    field(event, "prompt"),
    field(event, "note"),
    field(event, "reason"),
    error || field(event, "output_summary"),
    usageText(event["usage"]),
    kernelText(event),
  ];
  const aside = [duration(event["duration_ms"] as number | undefined)];
  if (typeof event["exit_code"] === "number") aside.push(`exit ${event["exit_code"]}`);
  if (event["signal"]) aside.push(field(event, "signal"));
  if (typeof event["cost_usd"] === "number") {
    aside.push(money({ cost_usd: event["cost_usd"], unpriced_calls: 0 }));
  }
  return {
    subject: first,
    text: clip(texts.filter((text) => text !== "").join(" · "), TEXT_MAX),
    bad,
    aside: aside.filter((text) => text !== "").join(" · "),
  };
}
