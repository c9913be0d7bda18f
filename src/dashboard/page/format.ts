// Numbers, sizes and times as people read them.

import { formatDuration, formatSize } from "../../core/units.ts";

/** "now", "12s", "4m", "3h", "2d". */
export function shortAge(iso: string, nowMs: number): string {
  const seconds = Math.round((nowMs - Date.parse(iso)) / 1_000);
  if (Number.isNaN(seconds)) return "";
  if (seconds < 1) return "now";
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** "1,234"; "12.3k"; "4.5M". */
export function compact(value: number): string {
  if (value < 10_000) return value.toLocaleString("en");
  if (value < 1_000_000) return `${(value / 1_000).toFixed(value < 100_000 ? 1 : 0)}k`;
  return `${(value / 1_000_000).toFixed(1)}M`;
}

export function size(bytes: number | null | undefined): string {
  return typeof bytes === "number" ? formatSize(bytes) : "";
}

export function duration(ms: number | null | undefined): string {
  return typeof ms === "number" ? formatDuration(ms) : "";
}

/** Money, with "+" where calls of unknown price come on top; a dash for nothing at all. */
export function cost(session: { cost_usd: number; unpriced_calls: number }): string {
  const more = session.unpriced_calls > 0 ? "+" : "";
  if (session.cost_usd === 0 && more === "") return "–";
  return `$${session.cost_usd.toFixed(session.cost_usd < 1 ? 3 : 2)}${more}`;
}

/** "+0:07", "+1:02:03": time since `startMs`. */
export function offset(ms: number): string {
  const total = Math.max(0, Math.floor(ms / 1_000));
  const two = (value: number): string => String(value).padStart(2, "0");
  const minutes = Math.floor(total / 60);
  const hours = Math.floor(minutes / 60);
  const head = hours > 0 ? `${hours}:${two(minutes % 60)}` : String(minutes);
  return `+${head}:${two(total % 60)}`;
}

/** Time of day by the reader's clock, "14:03:07". */
export function clockTime(iso: string): string {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? "" : at.toLocaleTimeString("en-GB");
}

/** "1 file", "3 files". */
export function count(value: number, noun: string): string {
  return `${value.toLocaleString("en")} ${noun}${value === 1 ? "" : "s"}`;
}

/** "dead_loop" as "dead loop". */
export function words(name: string): string {
  return name.replace(/_/g, " ");
}
