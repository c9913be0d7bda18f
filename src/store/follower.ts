// All that lags behind the commit: ids, postings, sessions and sums, kept in memory and written behind a watermark.

import type { Database } from "bun:sqlite";
import type { ObserverEvent } from "../core/event.ts";
import { createEventIds } from "./event-ids.ts";
import type { EventRows } from "./event-rows.ts";
import type { Meta } from "./meta.ts";
import { createOperationsRing, RING_OPERATIONS } from "./operations-ring.ts";
import { createPostings, termOf } from "./postings.ts";
import { createSessionRows } from "./session-rows.ts";

/**
 * Follows committed events. What a kill leaves unwritten lies above the watermark and is followed again at
 * the next start, so nothing is counted twice or lost.
 */
export function createFollower(
  database: Database,
  { rows, meta }: { rows: EventRows; meta: Meta },
) {
  const ids = createEventIds(database, rows);
  const postings = createPostings(database);
  const sessions = createSessionRows(database);
  const ring = createOperationsRing(database);
  let newestSeq = rows.newestSeq();
  let settledSeq = meta.watermark();

  const follow = (event: ObserverEvent, given: { digest: number | null } | undefined): void => {
    if (given) ids.add(event.source, event.id, { seq: event.seq, digest: given.digest });
    postings.add(termOf.kind(event.kind), event.seq);
    postings.add(termOf.source(event.source), event.seq);
    if (event.sessionId !== undefined) postings.add(termOf.session(event.sessionId), event.seq);
    sessions.fold(event);
    if (event.kind === "operation") ring.sum(event);
  };

  const write = database.transaction(() => {
    ids.flush();
    postings.flush();
    sessions.flush();
    ring.flush();
    meta.setWatermark(newestSeq);
  });

  const settle = (): void => {
    if (settledSeq === newestSeq) return;
    write.immediate();
    for (const part of [ids, postings, sessions, ring]) part.clear();
    settledSeq = newestSeq;
  };

  const catchUp = (): void => {
    for (const row of rows.after(settledSeq)) {
      follow(rows.toEvent(row), row.id === null ? undefined : { digest: row.digest });
    }
    settle();
  };

  const refillRing = (): void => {
    const newest: number[] = [];
    for (const seq of postings.descending(termOf.kind("operation"), Number.MAX_SAFE_INTEGER)) {
      if (newest.push(seq) === RING_OPERATIONS) break;
    }
    for (const seq of newest.reverse()) {
      const row = rows.row(seq);
      if (row) ring.add(rows.toEvent(row));
    }
  };

  catchUp();
  refillRing();

  return {
    ids,
    postings,
    sessions,
    ring,
    nextSeq: (): number => newestSeq + 1,
    /** Takes a committed event; in the order of commits. */
    add(event: ObserverEvent, given: { digest: number | null } | undefined): void {
      newestSeq = Math.max(newestSeq, event.seq);
      follow(event, given);
      if (event.kind === "operation") ring.add(event);
    },
    settle,
  };
}
