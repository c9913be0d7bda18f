// Recognises an event that was already taken, by (source, id), without an index on the commit path.

import type { Database } from "bun:sqlite";
import type { EventRows } from "./event-rows.ts";

export interface Known {
  seq: number;
  /** False when both bodies are known and differ. */
  sameBody: boolean;
}

/** SQLite integers are signed: the top bit of the 64-bit hash is given up. */
const KEY_BITS = 63;

/**
 * The index holds a hash, not the id: the row itself says whether it is really the same id, so a collision
 * costs one read and never an event.
 */
export function createEventIds(database: Database, rows: EventRows) {
  const find = database.prepare<{ seq: number }, [bigint]>(
    "SELECT seq FROM event_ids WHERE key = ?",
  );
  const put = database.prepare("INSERT OR IGNORE INTO event_ids (key, seq) VALUES (?,?)");
  const pending = new Map<string, { id: string; seq: number; digest: number | null }>();
  const nameOf = (source: string, id: string): string => `${source}\u0000${id}`;
  // By id alone, so that an event is also found without its source.
  const keyOf = (id: string): bigint => BigInt.asUintN(KEY_BITS, Bun.hash.wyhash(id));
  const same = (stored: number | null, given: number | null): boolean =>
    stored === null || given === null || stored === given;

  return {
    /** The stored event of this (source, id), or null. `digest` null: the body is not compared. */
    find: (source: string, id: string, digest: number | null): Known | null => {
      const recent = pending.get(nameOf(source, id));
      if (recent) return { seq: recent.seq, sameBody: same(recent.digest, digest) };
      for (const { seq } of find.all(keyOf(id))) {
        const row = rows.row(seq);
        if (row?.source === source && row.id === id) {
          return { seq, sameBody: same(row.digest, digest) };
        }
      }
      return null;
    },
    /** Positions of the events with this id, of whatever source; pending ones must have been flushed. */
    positions: (id: string): number[] => find.all(keyOf(id)).map(({ seq }) => seq),
    add(source: string, id: string, entry: { seq: number; digest: number | null }): void {
      pending.set(nameOf(source, id), { id, ...entry });
    },
    /** Writes what is pending, in key order (fewer pages touched); inside the watermark's transaction. */
    flush(): void {
      const entries = [...pending.values()].map(({ id, seq }) => ({ key: keyOf(id), seq }));
      entries.sort((a, b) => (a.key < b.key ? -1 : 1));
      for (const { key, seq } of entries) put.run(key, seq);
    },
    clear: (): void => pending.clear(),
  };
}
