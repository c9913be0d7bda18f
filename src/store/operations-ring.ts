// The last operations, as the seed's `/health` and `/stats` count them, and the sums of all time.

import type { Database } from "bun:sqlite";
import type { ObserverEvent } from "../core/event.ts";
import { isoTime } from "../core/text.ts";

/** The seed's ring. */
export const RING_OPERATIONS = 2_000;
/** Scenario operations that `/stats` shows. */
const RECENT_SCENARIO_OPERATIONS = 10;

interface Sums {
  total: number;
  successes: number;
  failures: number;
  by_source: Record<string, number>;
}

interface Entry {
  source: string;
  ok: boolean;
  timeMs: number;
  staffer: unknown;
  kind: unknown;
  role: unknown;
}

export function createOperationsRing(database: Database) {
  const ring: Entry[] = [];
  let oldest = 0;
  const sums = createSums(database);
  const counts = { successes: 0, failures: 0, bySource: new Map<string, number>() };

  const count = ({ source, ok }: Entry, by: 1 | -1): void => {
    counts[ok ? "successes" : "failures"] += by;
    const left = (counts.bySource.get(source) ?? 0) + by;
    if (left > 0) counts.bySource.set(source, left);
    else counts.bySource.delete(source);
  };

  const add = (event: ObserverEvent): void => {
    const entry = toEntry(event);
    count(entry, 1);
    if (ring.length < RING_OPERATIONS) {
      ring.push(entry);
      return;
    }
    const gone = ring[oldest];
    if (gone) count(gone, -1);
    ring[oldest] = entry;
    oldest = (oldest + 1) % RING_OPERATIONS;
  };

  return {
    size: (): number => ring.length,
    /** Takes one operation into the ring. */
    add,
    /** Takes one operation into the sums of all time. */
    sum: sums.add,
    flush: sums.flush,
    clear: sums.clear,
    stats(): Sums & { recent_scenario_ops: Record<string, unknown>[]; all_time: Sums } {
      const inOrder = [...ring.slice(oldest), ...ring.slice(0, oldest)];
      const scenario = inOrder.filter(({ source }) => source === "scenario");
      return {
        total: ring.length,
        successes: counts.successes,
        failures: counts.failures,
        by_source: Object.fromEntries(counts.bySource),
        recent_scenario_ops: scenario.slice(-RECENT_SCENARIO_OPERATIONS).map(digestOf),
        all_time: sums.read(),
      };
    },
  };
}

/** Successes and failures per source since the database exists; one row each. */
function createSums(database: Database) {
  const bySource = new Map<string, { successes: number; failures: number }>();
  const dirty = new Set<string>();
  const put = database.prepare(
    "INSERT OR REPLACE INTO operation_totals (source, successes, failures) VALUES (?,?,?)",
  );
  const stored = database
    .query<{ source: string; successes: number; failures: number }, []>(
      "SELECT * FROM operation_totals",
    )
    .all();
  for (const { source, successes, failures } of stored) {
    bySource.set(source, { successes, failures });
  }
  return {
    add: ({ source, data }: ObserverEvent): void => {
      const sums = bySource.get(source) ?? { successes: 0, failures: 0 };
      sums[data.success === true ? "successes" : "failures"] += 1;
      bySource.set(source, sums);
      dirty.add(source);
    },
    flush: (): void => {
      for (const source of dirty) {
        const sums = bySource.get(source);
        if (sums) put.run(source, sums.successes, sums.failures);
      }
    },
    clear: (): void => dirty.clear(),
    read: (): Sums => {
      const all: Sums = { total: 0, successes: 0, failures: 0, by_source: {} };
      for (const [source, { successes, failures }] of bySource) {
        all.successes += successes;
        all.failures += failures;
        all.by_source[source] = successes + failures;
      }
      all.total = all.successes + all.failures;
      return all;
    },
  };
}

function toEntry({ source, timeMs, data }: ObserverEvent): Entry {
  return {
    source,
    ok: data.success === true,
    timeMs,
    staffer: data.staffer_id ?? null,
    kind: data.event_kind ?? null,
    role: data.role ?? null,
  };
}

/** One line of `recent_scenario_ops`, in the seed's names. */
function digestOf({ timeMs, ok, staffer, kind, role }: Entry): Record<string, unknown> {
  return { ts: isoTime(timeMs), ok, staffer, kind, role };
}

export type OperationsRing = ReturnType<typeof createOperationsRing>;
