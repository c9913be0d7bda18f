// Memory of an agent in a line: what it uses, its limit, a bar, and the time to the limit.

import type { Json } from "./client.ts";
import type { Colour } from "./paint.ts";
import { duration, number, size } from "./show.ts";

/** Shares of the limit from which it is worth a look, and from which it is nearly over. */
const WATCH_SHARE = 0.75;
const ALARM_SHARE = 0.9;

/** Working set where a limit counts it, else the resident set of the process. */
export function usedBytes(agent: Json): number | null {
  return number(agent, "memory_usage_bytes") ?? number(agent, "rss_bytes");
}

/** 0 to 1 and above; null without a limit. */
export function usedShare(agent: Json): number | null {
  const limit = number(agent, "memory_limit_bytes");
  const used = usedBytes(agent);
  return limit === null || used === null || limit === 0 ? null : used / limit;
}

/** "1.2 GiB/4.0 GiB", or what is known of it. */
export function memoryText(agent: Json): string {
  const limit = number(agent, "memory_limit_bytes");
  const used = size(usedBytes(agent));
  return limit === null ? used : `${used}/${size(limit)}`;
}

/** `cells` wide: full and empty blocks; blank without a share. */
export function bar(share: number | null, cells: number): string {
  if (share === null) return " ".repeat(cells);
  const full = Math.round(Math.min(1, Math.max(0, share)) * cells);
  return "█".repeat(full) + "░".repeat(cells - full);
}

export function shareColour(share: number | null): Colour | null {
  if (share === null) return null;
  return share >= ALARM_SHARE ? "red" : share >= WATCH_SHARE ? "yellow" : "green";
}

/** Beyond, the pace of this moment says nothing. */
const TIME_SHOWN_MAX_MS = 10 * 60_000;
const TIME_ALARM_MS = 60_000;

/** "2.5 s" until the limit at the present pace; empty where it is far off or not coming nearer. */
export function timeToLimit(agent: Json): string {
  const ms = number(agent, "time_to_limit_ms");
  return ms !== null && ms <= TIME_SHOWN_MAX_MS ? duration(ms) : "";
}

export function timeColour(agent: Json): Colour {
  return (number(agent, "time_to_limit_ms") ?? Infinity) <= TIME_ALARM_MS ? "red" : "yellow";
}
