// The few facts about the database itself.

import type { Database } from "bun:sqlite";
import { newId } from "../core/ids.ts";

/** What parts of observer remember between two runs: few, small, and not worth a table. */
export interface Facts {
  get(key: string): string | number | null;
  /** Written at once, in a transaction of its own. @throws what SQLite throws. */
  set(key: string, value: string | number): void;
}

/** Keeps them apart from the database's own. */
const FACT = "fact:";

export function createMeta(database: Database) {
  const read = database.prepare<{ value: string | number }, [string]>(
    "SELECT value FROM meta WHERE key = ?",
  );
  const write = database.prepare("INSERT OR REPLACE INTO meta (key, value) VALUES (?,?)");
  if (!read.get("id_prefix")) write.run("id_prefix", newId().slice(0, 6));
  return {
    /** Begins the ids that this database gives, so that another database never gives the same. */
    idPrefix: String(read.get("id_prefix")?.value),
    /** Newest event that the lagging indices contain. */
    watermark: (): number => Number(read.get("settled_seq")?.value ?? 0),
    setWatermark: (seq: number): void => void write.run("settled_seq", seq),
    facts: {
      get: (key) => read.get(`${FACT}${key}`)?.value ?? null,
      set: (key, value) => void write.run(`${FACT}${key}`, value),
    } satisfies Facts,
  };
}

export type Meta = ReturnType<typeof createMeta>;
