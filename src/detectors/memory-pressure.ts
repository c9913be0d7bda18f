// memory_pressure: an agent comes near its memory limit, so near that its work should be saved before the kernel kills.

import type { Detector } from "../core/contracts.ts";
import type { EventData, ObserverEvent } from "../core/event.ts";
import type { Finding } from "../core/interruption.ts";
import { clip } from "../core/text.ts";
import { formatDuration, formatSize } from "../core/units.ts";
import { findingAt } from "./finding.ts";
import { createLruMap } from "./lru-map.ts";

/** Mildest first. */
const LEVELS = ["watch", "checkpoint", "freeze"] as const;
type Level = (typeof LEVELS)[number];

// As long as policy waits between two checkpoints: a rise that comes later is worth a new one.
const REARM_MS = 30_000;
const NAME_CHARS_MAX = 512;

export interface MemoryPressureOptions {
  /** Cgroups and agents that are remembered. */
  lanesMax: number;
}

/** One stay near the limit. */
interface Episode {
  /** Id of its first event. */
  id: string;
  level: Level;
  lastMs: number;
  freezeId?: string;
}

/** Follows the level of each cgroup and agent as events tell it. */
export function createMemoryPressureDetector(options: MemoryPressureOptions): Detector {
  const episodes = createLruMap<string, Episode>(options.lanesMax);
  return {
    type: "memory_pressure",
    observe(event) {
      if (event.kind !== "memory_pressure") return [];
      const place = placeOf(event);
      const key = JSON.stringify([event.host, event.sessionId, place]);
      const before = episodes.get(key);
      const now = follow(before, event);
      episodes.set(key, now);
      return [findingOf(event, { place, now, before })];
    },
  };
}

function placeOf({ data, pid, agent }: ObserverEvent): string {
  const { cgroup } = data as { cgroup?: unknown };
  if (typeof cgroup === "string" && cgroup !== "") return clip(cgroup, NAME_CHARS_MAX);
  return clip(String(pid ?? agent ?? ""), NAME_CHARS_MAX);
}

/** The level only rises within an episode; a rise after a quiet time begins a new one. */
function follow(before: Episode | undefined, { id, timeMs, data }: ObserverEvent): Episode {
  const level = levelOf(data);
  const freezeId = typeof data["freeze_id"] === "string" ? data["freeze_id"] : undefined;
  const isNew = before === undefined || timeMs - before.lastMs > REARM_MS;
  const frozen = freezeId ?? (isNew ? undefined : before.freezeId);
  return {
    id: isNew ? id : before.id,
    level: isNew || rank(level) > rank(before.level) ? level : before.level,
    lastMs: Math.max(timeMs, before?.lastMs ?? timeMs),
    ...(frozen === undefined ? {} : { freezeId: clip(frozen, NAME_CHARS_MAX) }),
  };
}

// Who says nothing of it says the least.
function levelOf(data: EventData): Level {
  return LEVELS.find((level) => level === data["level"]) ?? "watch";
}

function rank(level: Level): number {
  return LEVELS.indexOf(level);
}

interface Stay {
  place: string;
  now: Episode;
  before: Episode | undefined;
}

function findingOf(event: ObserverEvent, { place, now, before }: Stay): Finding {
  const { data } = event;
  const print = (episode: Episode): string => `pressure:${place}:${episode.id}:${episode.level}`;
  const milder = before !== undefined && print(before) !== print(now) ? [print(before)] : [];
  return {
    ...findingAt(event, {
      type: "memory_pressure",
      fingerprint: print(now),
      summary: describe(event),
      detail: {
        level: now.level,
        cgroup: textOrNull(data["cgroup"]),
        usage_bytes: numberOrNull(data["usage_bytes"]),
        limit_bytes: numberOrNull(data["limit_bytes"]),
        fill_bytes_per_s: numberOrNull(data["fill_bytes_per_s"]),
        time_to_limit_ms: numberOrNull(data["time_to_limit_ms"]),
        psi_some_avg10: numberOrNull(data["psi_some_avg10"]),
        freeze_id: now.freezeId ?? null,
      },
      evidence: [event.id],
    }),
    ...(milder.length === 0
      ? {}
      : {
          supersedes: milder.map((fingerprint) => ({ type: "memory_pressure", fingerprint })),
        }),
  };
}

function describe({ agent, data, pid }: ObserverEvent): string {
  const who = `${agent ?? "agent"}${pid === undefined ? "" : ` (pid ${pid})`}`;
  const used = numberOrNull(data["usage_bytes"]);
  const limit = numberOrNull(data["limit_bytes"]);
  const leftMs = numberOrNull(data["time_to_limit_ms"]);
  const how =
    used !== null && limit !== null && limit > 0
      ? `uses ${Math.round((100 * used) / limit)} % of the ${formatSize(limit)} that it may`
      : "is short of memory";
  return `${who} ${how}${leftMs === null ? "" : `, the rest lasts ${formatDuration(leftMs)}`}`;
}

function numberOrNull(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : null;
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" ? clip(value, NAME_CHARS_MAX) : null;
}
