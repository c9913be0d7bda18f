// Lists events newest first with any filter, in slices, so that a scan over millions never blocks the loop.

import type { ObserverEvent } from "../core/event.ts";
import type { EventRow, EventRows } from "./event-rows.ts";
import { cursorPosition, filterValue, unknownFilter } from "./list-rows.ts";
import { type Postings, termOf } from "./postings.ts";
import type { ListQuery, Page } from "./query.ts";

/** Rows looked at for one page; beyond it the page ends short and its cursor goes on from there. */
const SCAN_ROWS_MAX = 50_000;
/** Rows between two turns of the event loop. */
const SLICE_ROWS = 1_000;

/** Fields of the envelope; every other filter is looked up in the event's own data. */
const ENVELOPE = [
  "id",
  "kind",
  "session_id",
  "agent",
  "workspace",
  "pid",
  "host",
  "source",
] as const;

/** Times are compared as times, however they are written. */
const TIMES: Record<string, (event: ObserverEvent) => number> = {
  time: (event) => event.timeMs,
  received_at: (event) => event.receivedMs,
};

type Accept = (event: ObserverEvent) => boolean;

export async function listEvents(
  query: ListQuery,
  { rows, postings }: { rows: EventRows; postings: Postings },
): Promise<Page<ObserverEvent>> {
  const start = query.cursor === undefined ? Number.MAX_SAFE_INTEGER : cursorPosition(query.cursor);
  const accept = acceptance(query);
  const term = mostSelectiveTerm(query.filters);
  const candidates = term ? byTerm(rows, postings.descending(term, start)) : all(rows, start);
  const items: ObserverEvent[] = [];
  let scanned = 0;
  let position = 0;
  for (const row of candidates) {
    if (items.length === query.limit || scanned === SCAN_ROWS_MAX) {
      return { items, nextCursor: String(position) };
    }
    scanned += 1;
    position = row.seq;
    const event = rows.toEvent(row);
    if (accept(event)) items.push(event);
    if (scanned % SLICE_ROWS === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return { items, nextCursor: null };
}

function mostSelectiveTerm(filters: Record<string, string>): string | null {
  const { session_id: session, source, kind } = filters;
  // Events without a session stand under no term.
  if (session !== undefined && session !== "null") return termOf.session(session);
  if (kind !== undefined) return termOf.kind(kind);
  return source === undefined ? null : termOf.source(source);
}

function* byTerm(rows: EventRows, positions: Iterable<number>): Generator<EventRow> {
  for (const seq of positions) {
    const row = rows.row(seq);
    if (row) yield row;
  }
}

function* all(rows: EventRows, before: number): Generator<EventRow> {
  let position = before;
  for (;;) {
    const slice = rows.before(position, SLICE_ROWS);
    yield* slice;
    const last = slice.at(-1);
    if (!last || slice.length < SLICE_ROWS) return;
    position = last.seq;
  }
}

function acceptance(query: ListQuery): Accept {
  const checks: Accept[] = [];
  const { sinceMs, untilMs } = query;
  if (sinceMs !== undefined) checks.push((event) => event.timeMs >= sinceMs);
  if (untilMs !== undefined) checks.push((event) => event.timeMs <= untilMs);
  for (const [name, wanted] of Object.entries(query.filters)) {
    if (!/^[a-z][a-z0-9_]{0,63}$/.test(name)) {
      throw unknownFilter(name, [...ENVELOPE, ...Object.keys(TIMES), "any field"]);
    }
    const timeOf = Object.hasOwn(TIMES, name) ? TIMES[name] : undefined;
    if (timeOf) {
      const atMs = filterValue(name, wanted, "time");
      checks.push((event) => timeOf(event) === atMs);
    } else checks.push((event) => shown(event, name) === wanted);
  }
  return (event) => checks.every((check) => check(event));
}

/** A field as its filter writes it: scalars as text, what is absent as `null`. */
function shown(event: ObserverEvent, name: string): string {
  const envelope: Record<string, unknown> = {
    id: event.id,
    kind: event.kind,
    session_id: event.sessionId,
    agent: event.agent,
    workspace: event.workspace,
    pid: event.pid,
    host: event.host,
    source: event.source,
  };
  const value = name in envelope ? envelope[name] : event.data[name];
  if (value === undefined || value === null) return "null";
  return typeof value === "object" ? "" : String(value as string | number | boolean);
}
