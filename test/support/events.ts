// Events and drafts for tests, with everything that a test does not care about filled in.

import type { EventDraft, ObserverEvent } from "../../src/core/event.ts";
import type { StoredEvent } from "../../src/store/event-rows.ts";

export function draft(fields: Partial<EventDraft> = {}): EventDraft {
  return { kind: "note", source: "test", data: {}, ...fields };
}

export function storedEvent(seq: number, fields: Partial<ObserverEvent> = {}): StoredEvent {
  const event: ObserverEvent = {
    seq,
    id: fields.id ?? `own-${seq}`,
    kind: "note",
    source: "test",
    timeMs: 1_000_000 + seq,
    receivedMs: 1_000_000 + seq,
    host: "here",
    data: {},
    ...fields,
  };
  return {
    event,
    json: JSON.stringify(event.data),
    ...(fields.id === undefined ? {} : { given: { digest: null } }),
  };
}
