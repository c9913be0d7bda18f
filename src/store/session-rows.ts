// Sessions: folded from events in memory, written behind the watermark.

import type { Database } from "bun:sqlite";
import type { EventData, ObserverEvent } from "../core/event.ts";
import type { Session } from "../core/session.ts";
import { insertStatement, type Row, updateStatement } from "./database.ts";
import type { Listing } from "./list-rows.ts";

const COLUMNS = [
  "id",
  "host",
  "agent",
  "workspace",
  "pid",
  "started_ms",
  "last_ms",
  "ended_ms",
  "end_reason",
  "events",
  "tool_calls",
  "errors",
  "tokens_input",
  "tokens_output",
  "tokens_cache_read",
  "tokens_cache_write",
  "cost_usd",
  "unpriced_calls",
] as const;

/** Sessions kept in memory between two events of theirs; others are read back when needed. */
const CACHE_SESSIONS = 5_000;

/** Adds one event to its session's sums. */
export function foldEvent(session: Session, event: ObserverEvent): void {
  const { kind, data } = event;
  session.events += 1;
  session.startedMs = Math.min(session.startedMs, event.timeMs);
  session.lastMs = Math.max(session.lastMs, event.timeMs);
  session.agent = event.agent ?? session.agent;
  // What the agent itself says; shown, and never used as a path by observer.
  session.workspace = event.workspace ?? session.workspace ?? textOrNull(data.cwd);
  // The exit of a child is told under its session too; it does not make the child the agent.
  session.pid = isOfProcess(kind) ? (session.pid ?? event.pid ?? null) : (event.pid ?? session.pid);
  if (kind === "tool_call") session.toolCalls += 1;
  if (kind === "tool_result" && isFailed(data)) session.errors += 1;
  if (kind === "error") session.errors += 1;
  if (kind === "llm_call") foldModelCall(session, event);
  const begins = kind === "session_start" || (kind === "process_start" && isOfKernel(event));
  if (begins && (session.endedMs ?? Infinity) <= event.timeMs) {
    // A resumed session goes on under its old id.
    session.endedMs = null;
    session.endReason = null;
  }
  if (kind === "session_end") {
    session.endedMs = event.timeMs;
    session.endReason = typeof data.reason === "string" ? data.reason : null;
  }
  if (kind === "process_exit" && isOfKernel(event) && session.endedMs === null) {
    session.endedMs = event.timeMs;
    session.endReason = textOrNull(data.reason) ?? textOrNull(data.signal) ?? "exit";
  }
}

/** What observer itself saw of the agent's own process, not of a child. */
function isOfKernel({ source, data }: ObserverEvent): boolean {
  return source === "kernel" && data["child"] !== true;
}

function isOfProcess(kind: ObserverEvent["kind"]): boolean {
  return kind === "process_start" || kind === "process_exit" || kind === "oom_kill";
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

/** As the detectors see it: it says so, or it says nothing and carries an error. */
function isFailed({ ok, error }: EventData): boolean {
  return ok === false || (ok !== true && error !== undefined && error !== "");
}

function foldModelCall(session: Session, { data }: ObserverEvent): void {
  if (data.error !== undefined || (data.status ?? 0) >= 400) session.errors += 1;
  const { usage } = data;
  if (!usage) return;
  session.tokens.input += usage.input ?? 0;
  session.tokens.output += usage.output ?? 0;
  session.tokens.cache_read += usage.cache_read ?? 0;
  session.tokens.cache_write += usage.cache_write ?? 0;
  if (typeof data.cost_usd === "number") session.costUsd += data.cost_usd;
  else session.unpricedCalls += 1;
}

function toRow(session: Session): Row {
  return {
    id: session.id,
    host: session.host,
    agent: session.agent,
    workspace: session.workspace,
    pid: session.pid,
    started_ms: session.startedMs,
    last_ms: session.lastMs,
    ended_ms: session.endedMs,
    end_reason: session.endReason,
    events: session.events,
    tool_calls: session.toolCalls,
    errors: session.errors,
    tokens_input: session.tokens.input,
    tokens_output: session.tokens.output,
    tokens_cache_read: session.tokens.cache_read,
    tokens_cache_write: session.tokens.cache_write,
    cost_usd: session.costUsd,
    unpriced_calls: session.unpricedCalls,
  };
}

function fromRow(row: Record<string, unknown>): Session {
  const text = (name: string): string | null => row[name] as string | null;
  const number = (name: string): number => row[name] as number;
  return {
    id: row["id"] as string,
    host: row["host"] as string,
    agent: text("agent"),
    workspace: text("workspace"),
    pid: row["pid"] as number | null,
    startedMs: number("started_ms"),
    lastMs: number("last_ms"),
    endedMs: row["ended_ms"] as number | null,
    endReason: text("end_reason"),
    events: number("events"),
    toolCalls: number("tool_calls"),
    errors: number("errors"),
    tokens: {
      input: number("tokens_input"),
      output: number("tokens_output"),
      cache_read: number("tokens_cache_read"),
      cache_write: number("tokens_cache_write"),
    },
    costUsd: number("cost_usd"),
    unpricedCalls: number("unpriced_calls"),
  };
}

export const SESSION_LISTING: Listing<Session> = {
  table: "sessions",
  timeColumn: "started_ms",
  read: fromRow,
  fields: {
    id: { column: "id", type: "text" },
    session_id: { column: "id", type: "text" },
    host: { column: "host", type: "text" },
    agent: { column: "agent", type: "text" },
    workspace: { column: "workspace", type: "text" },
    pid: { column: "pid", type: "number" },
    started_at: { column: "started_ms", type: "time" },
    last_at: { column: "last_ms", type: "time" },
    ended_at: { column: "ended_ms", type: "time" },
    end_reason: { column: "end_reason", type: "text" },
    events: { column: "events", type: "number" },
    tool_calls: { column: "tool_calls", type: "number" },
    errors: { column: "errors", type: "number" },
    cost_usd: { column: "cost_usd", type: "number" },
    unpriced_calls: { column: "unpriced_calls", type: "number" },
  },
};

export function createSessionRows(database: Database) {
  const byId = database.prepare("SELECT * FROM sessions WHERE id = ?");
  const insert = insertStatement(database, "sessions", COLUMNS);
  const update = updateStatement(database, "sessions", COLUMNS);
  const cache = new Map<string, Session>();
  const dirty = new Set<string>();

  const load = (id: string): Session | null => {
    const row = byId.get(id) as Record<string, unknown> | null;
    return row ? fromRow(row) : null;
  };

  const open = (id: string, event: ObserverEvent): Session => {
    const known = cache.get(id) ?? load(id);
    const session: Session = known ?? {
      id,
      host: event.host,
      agent: null,
      workspace: null,
      pid: null,
      startedMs: event.timeMs,
      lastMs: event.timeMs,
      endedMs: null,
      endReason: null,
      events: 0,
      toolCalls: 0,
      errors: 0,
      tokens: { input: 0, output: 0, cache_read: 0, cache_write: 0 },
      costUsd: 0,
      unpricedCalls: 0,
    };
    // Re-inserted, so that the map's order is the order of use.
    cache.delete(id);
    cache.set(id, session);
    return session;
  };

  return {
    get: (id: string): Session | null => cache.get(id) ?? load(id),
    fold(event: ObserverEvent): void {
      if (event.sessionId === undefined) return;
      foldEvent(open(event.sessionId, event), event);
      dirty.add(event.sessionId);
    },
    /** Writes changed sessions; inside the transaction that moves the watermark. */
    flush(): void {
      for (const id of dirty) {
        const session = cache.get(id);
        if (!session) continue;
        const row = toRow(session);
        if (update.run(row).changes === 0) insert.run(row);
      }
    },
    clear(): void {
      dirty.clear();
      for (const id of cache.keys()) {
        if (cache.size <= CACHE_SESSIONS) break;
        cache.delete(id);
      }
    },
  };
}
