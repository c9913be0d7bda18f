// What one `oom_kill` event says of a kill: read once, and small enough to be kept.

import type { EventData, ObserverEvent } from "../core/event.ts";
import { clip } from "../core/text.ts";
import { directoryOf } from "./finding.ts";
import { pidOf, type Run } from "./runs.ts";

/** Names of independent sources; there are fewer. */
export const SOURCES_MAX = 8;
/** The source of a death by SIGKILL: never a proof by itself. */
export const EXIT_SIGNAL = "exit_signal";
/** The source of an event that names none: a tool that was told, and tells on. */
const REPORTED = "reported";

const NAME_CHARS_MAX = 64;
const CGROUP_CHARS_MAX = 512;

export interface ProofFacts {
  victimPid?: number | undefined;
  /** The victim's session, or that of the agent that started it. */
  sessionId?: string | undefined;
  agent?: string | undefined;
  /** The agent's own process, where the proof knows whose cgroup it was. */
  agentPid?: number | undefined;
  cwd?: string | undefined;
  comm?: string | undefined;
  cgroup?: string | undefined;
  constraint?: "memcg" | "global" | undefined;
  limitBytes?: number | undefined;
  usageBytes?: number | undefined;
  anonRssBytes?: number | undefined;
}

export interface Proof extends ProofFacts {
  /** Of the event. */
  id: string;
  host: string;
  timeMs: number;
  sources: string[];
}

/** Takes data of any shape: what is not of its type is not there. */
export function proofOf(event: ObserverEvent, run: Run | null): Proof {
  const { id, host, timeMs, data } = event;
  const constraint = data["constraint"];
  return {
    id,
    host,
    timeMs,
    sources: sourcesOf(data),
    victimPid: pidOf(event),
    sessionId: event.sessionId ?? run?.sessionId,
    agent: event.agent ?? run?.agent,
    agentPid: countOf(data["agent_pid"]),
    cwd: directoryOf(event) ?? run?.cwd,
    comm: textOf(data["comm"], NAME_CHARS_MAX),
    cgroup: textOf(data["cgroup"], CGROUP_CHARS_MAX),
    constraint: constraint === "memcg" || constraint === "global" ? constraint : undefined,
    limitBytes: countOf(data["memory_limit_bytes"]),
    usageBytes: countOf(data["memory_usage_bytes"]),
    anonRssBytes: countOf(data["anon_rss_bytes"]),
  };
}

function sourcesOf(data: EventData): string[] {
  const named = Array.isArray(data["sources"]) ? (data["sources"] as unknown[]) : [];
  const sources = named.slice(0, SOURCES_MAX).map((name) => textOf(name, NAME_CHARS_MAX));
  const known = sources.filter((name) => name !== undefined);
  return known.length > 0 ? [...new Set(known)] : [REPORTED];
}

function textOf(value: unknown, max: number): string | undefined {
  return typeof value === "string" && value !== "" ? clip(value, max) : undefined;
}

function countOf(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;
}
