// The events table: append a batch, read rows by their position.

import type { Database } from "bun:sqlite";
import type { EventData, EventKind, ObserverEvent } from "../core/event.ts";

/** An event with its data already serialised and redacted, as the tick hands it over. */
export interface StoredEvent {
  event: ObserverEvent;
  /** JSON of `event.data`. */
  json: string;
  /** Present when the sender (or the fact itself) gave an id: it is indexed to recognise the same again. */
  given?: { digest: number | null };
}

export interface EventRow {
  seq: number;
  id: string | null;
  kind: EventKind;
  source: string;
  time_ms: number;
  received_ms: number;
  session_id: string | null;
  agent: string | null;
  workspace: string | null;
  pid: number | null;
  host: string | null;
  /** Hash of the body as it was submitted; null where bodies are not compared. */
  digest: number | null;
  data: string;
}

/** Rows read at a time when much is scanned; keeps one slice under a few milliseconds. */
const SLICE_ROWS = 1_000;

export function createEventRows(database: Database, options: { host: string; idPrefix: string }) {
  const insert = database.prepare(
    "INSERT INTO events (seq, id, kind, source, time_ms, received_ms, session_id, agent, workspace, pid, host, digest, data) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
  );
  const bySeq = database.prepare<EventRow, [number]>("SELECT * FROM events WHERE seq = ?");
  const after = database.prepare<EventRow, [number, number]>(
    "SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
  );
  const before = database.prepare<EventRow, [number, number]>(
    "SELECT * FROM events WHERE seq < ? ORDER BY seq DESC LIMIT ?",
  );
  const newest = database.prepare<{ seq: number | null }, []>("SELECT max(seq) AS seq FROM events");

  /** Id of an event that came without one: unique to this database, found again without an index. */
  const ownId = (seq: number): string => `${options.idPrefix}-${seq}`;

  const toEvent = (row: EventRow): ObserverEvent => ({
    seq: row.seq,
    id: row.id ?? ownId(row.seq),
    kind: row.kind,
    source: row.source,
    timeMs: row.time_ms,
    receivedMs: row.received_ms,
    host: row.host ?? options.host,
    ...(row.session_id === null ? {} : { sessionId: row.session_id }),
    ...(row.agent === null ? {} : { agent: row.agent }),
    ...(row.workspace === null ? {} : { workspace: row.workspace }),
    ...(row.pid === null ? {} : { pid: row.pid }),
    data: JSON.parse(row.data) as EventData,
  });

  return {
    ownId,
    toEvent,
    insert({ event, json, given }: StoredEvent): void {
      insert.run(
        event.seq,
        given ? event.id : null,
        event.kind,
        event.source,
        event.timeMs,
        event.receivedMs,
        event.sessionId ?? null,
        event.agent ?? null,
        event.workspace ?? null,
        event.pid ?? null,
        event.host === options.host ? null : event.host,
        given?.digest ?? null,
        json,
      );
    },
    row: (seq: number): EventRow | null => bySeq.get(seq),
    firstAfter: (seq: number): EventRow | null => after.get(seq, 1),
    /** Rows with a greater `seq`, oldest first, read in slices. */
    *after(seq: number): Generator<EventRow> {
      let position = seq;
      for (;;) {
        const rows = after.all(position, SLICE_ROWS);
        yield* rows;
        const last = rows.at(-1);
        if (rows.length < SLICE_ROWS || !last) return;
        position = last.seq;
      }
    },
    /** Up to `max` rows with a smaller `seq`, newest first. */
    before: (seq: number, max: number): EventRow[] => before.all(seq, max),
    newestSeq: (): number => newest.get()?.seq ?? 0,
    /** The position in an id that `ownId` made, else null. */
    seqOfOwnId(id: string): number | null {
      const prefix = `${options.idPrefix}-`;
      if (!id.startsWith(prefix)) return null;
      const digits = id.slice(prefix.length);
      return /^\d{1,15}$/.test(digits) ? Number(digits) : null;
    },
  };
}

export type EventRows = ReturnType<typeof createEventRows>;
