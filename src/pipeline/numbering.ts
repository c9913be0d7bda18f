// Gives each new event its position and id, and recognises those that were taken before.

import type { Receipt } from "../core/event.ts";
import type { StoredEvent } from "../store/event-rows.ts";
import type { Store } from "../store/store.ts";
import type { InboxEntry } from "./inbox.ts";
import type { PreparedEvent } from "./prepare.ts";

export interface FreshEvent {
  entry: InboxEntry;
  stored: StoredEvent;
}

/** What was drained, sorted into what is new and what already has its receipt. */
export interface Numbered {
  fresh: FreshEvent[];
  answered: { entry: InboxEntry; receipt: Receipt }[];
}

export function numberEvents(entries: InboxEntry[], store: Store): Numbered {
  const numbered: Numbered = { fresh: [], answered: [] };
  const inBatch = new Map<string, number | null>();
  let seq = store.nextSeq();
  for (const entry of entries) {
    const { event, json, given } = entry.prepared;
    const receipt = given ? repeated(entry.prepared, { inBatch, store }) : null;
    if (receipt) {
      numbered.answered.push({ entry, receipt });
      continue;
    }
    event.seq = seq;
    if (!given) event.id = store.ownId(seq);
    seq += 1;
    numbered.fresh.push({ entry, stored: { event, json, ...(given ? { given } : {}) } });
  }
  return numbered;
}

/** The receipt of an event whose (source, id) is stored or stands earlier in this batch; null for a new one. */
function repeated(
  { event, given }: PreparedEvent,
  { inBatch, store }: { inBatch: Map<string, number | null>; store: Store },
): Receipt | null {
  const digest = given?.digest ?? null;
  const name = `${event.source}\u0000${event.id}`;
  const earlier = inBatch.get(name);
  const known = store.known(event.source, event.id, digest);
  if (earlier === undefined && !known) {
    inBatch.set(name, digest);
    return null;
  }
  const sameBody = known?.sameBody ?? (earlier === null || digest === null || earlier === digest);
  if (sameBody) return { status: "duplicate", id: event.id };
  return {
    status: "rejected",
    code: "conflict",
    reason: `conflict: id "${event.id}" of source "${event.source}" is stored with another body`,
  };
}
