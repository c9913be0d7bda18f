// Draft to event: stamped by the clock, free of secrets, serialised once.

import type { Clock } from "../core/clock.ts";
import type { EventData, EventDraft, ObserverEvent } from "../core/event.ts";

/** A draft on its way to the tick. `event.seq` and a missing `event.id` are given by the tick. */
export interface PreparedEvent {
  event: ObserverEvent;
  json: string;
  given?: { digest: number | null };
  imported: boolean;
}

export interface PrepareDeps {
  clock: Clock;
  /** Name of this host, for drafts that do not name theirs. */
  host: string;
  /** `value`: a copy without secrets, or null when there are none. */
  redact: { value(value: unknown): unknown; text(text: string): string };
}

/** What follows from it is bounded by the sender's body limit; a cut mark never grows it. */
export function createPrepare({ clock, host, redact }: PrepareDeps) {
  return (draft: EventDraft): PreparedEvent => {
    const receivedMs = clock.now();
    const data = (redact.value(draft.data) ?? draft.data) as EventData;
    const clean = (text: string): string => redact.text(text);
    const event: ObserverEvent = {
      seq: 0,
      // Senders build ids and names of anything; the same secret gives the same marker, so equal ones stay equal.
      id: clean(draft.id ?? ""),
      kind: draft.kind,
      source: clean(draft.source),
      timeMs: draft.timeMs ?? receivedMs,
      receivedMs,
      host: draft.host === undefined ? host : clean(draft.host),
      ...(draft.sessionId === undefined ? {} : { sessionId: clean(draft.sessionId) }),
      ...(draft.agent === undefined ? {} : { agent: clean(draft.agent) }),
      ...(draft.workspace === undefined ? {} : { workspace: clean(draft.workspace) }),
      ...(draft.pid === undefined ? {} : { pid: draft.pid }),
      data,
    };
    return {
      event,
      json: JSON.stringify(data),
      ...(draft.id === undefined ? {} : { given: { digest: draft.digest ?? null } }),
      imported: draft.imported === true,
    };
  };
}
