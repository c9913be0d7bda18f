// What the page knows: the newest rows of each resource, kept true by the live stream.

import { ask, list } from "./api.ts";
import { nowMs } from "./clock.ts";
import type { LiveType } from "./live.ts";
import type {
  CheckpointRow,
  EventRow,
  InterruptionRow,
  ReactionRow,
  SessionRow,
  VersionRow,
} from "./shapes.ts";

/** Rows kept of each resource; older ones are in the API. */
const ROWS_MAX = 500;
/** Rows asked for at the start. */
const ROWS_FIRST = "200";
/** Changes within this time are shown together. */
const BATCH_MS = 80;
/** Sessions are summed up by observer; they are asked for again at most this often. */
const SESSIONS_EVERY_MS = 2_000;
/** Minutes of the chart of events. */
export const RATE_MINUTES = 20;

export interface Ready {
  ready: boolean;
  reason: string;
}

export interface Store {
  events: EventRow[];
  interruptions: InterruptionRow[];
  reactions: ReactionRow[];
  checkpoints: CheckpointRow[];
  sessions: SessionRow[];
  version: VersionRow | null;
  ready: Ready | null;
  /** Events of each of the last minutes, oldest first; the last one is still running. */
  rate(): number[];
  loaded: boolean;
  /** Asks for everything anew. Errors as of `ask`. */
  load(): Promise<void>;
  take: (type: LiveType, data: unknown) => void;
}

export function createStore(changed: () => void): Store {
  const minutes = new Map<number, number>();
  let batch: ReturnType<typeof setTimeout> | null = null;
  let loading: Promise<void> | null = null;
  let sessionsDue: ReturnType<typeof setTimeout> | null = null;

  const notify = (): void => {
    batch ??= setTimeout(() => {
      batch = null;
      changed();
    }, BATCH_MS);
  };

  const store: Store = {
    events: [],
    interruptions: [],
    reactions: [],
    checkpoints: [],
    sessions: [],
    version: null,
    ready: null,
    loaded: false,
    rate: () => {
      const current = Math.floor(nowMs() / 60_000);
      return Array.from(
        { length: RATE_MINUTES },
        (_, index) => minutes.get(current - RATE_MINUTES + 1 + index) ?? 0,
      );
    },
    load() {
      loading ??= readAll(store, minutes)
        .then(notify)
        .finally(() => (loading = null));
      return loading;
    },
    take(type, data) {
      takeFrame(store, type, data);
      if (type === "event") {
        countMinute(minutes, data as EventRow);
        sessionsDue ??= setTimeout(() => {
          sessionsDue = null;
          void refreshSessions(store).then(notify);
        }, SESSIONS_EVERY_MS);
      }
      notify();
    },
  };
  return store;
}

async function readAll(store: Store, minutes: Map<number, number>): Promise<void> {
  const query = { limit: ROWS_FIRST };
  const [version, ready, events, interruptions, reactions, checkpoints, sessions] =
    await Promise.all([
      ask<VersionRow>("version"),
      ask<{ error?: string }>("readyz", { accept: [503] }),
      list<EventRow>("events", query),
      list<InterruptionRow>("interruptions", query),
      list<ReactionRow>("reactions", query),
      list<CheckpointRow>("checkpoints", query),
      list<SessionRow>("sessions", query),
    ]);
  Object.assign(store, { version, events, interruptions, reactions, checkpoints, sessions });
  store.ready = { ready: !ready.error, reason: ready.error ?? "" };
  store.loaded = true;
  const counted = new Map<number, number>();
  for (const event of events) countMinute(counted, event);
  // The stream may have counted more of a busy minute than the first page holds.
  for (const [minute, many] of counted) {
    minutes.set(minute, Math.max(many, minutes.get(minute) ?? 0));
  }
}

function countMinute(minutes: Map<number, number>, event: EventRow): void {
  const at = event["received_at"];
  const minute = Math.floor(Date.parse(typeof at === "string" ? at : event.time) / 60_000);
  minutes.set(minute, (minutes.get(minute) ?? 0) + 1);
  for (const old of minutes.keys()) if (old < minute - RATE_MINUTES) minutes.delete(old);
}

function takeFrame(store: Store, type: LiveType, data: unknown): void {
  switch (type) {
    case "event":
      store.events = upsert(store.events, data as EventRow);
      return;
    case "interruption":
      store.interruptions = upsert(store.interruptions, data as InterruptionRow);
      return;
    case "reaction":
      store.reactions = upsert(store.reactions, data as ReactionRow);
      return;
    case "checkpoint":
      store.checkpoints = upsert(store.checkpoints, data as CheckpointRow);
      return;
    case "stats":
      // Counts of operations; the page shows events instead.
      return;
  }
}

/** `rows` with `row` in the place of its older self, or first. */
function upsert<Row extends { id: string }>(rows: Row[], row: Row): Row[] {
  const index = rows.findIndex(({ id }) => id === row.id);
  if (index === -1) return [row, ...rows.slice(0, ROWS_MAX - 1)];
  return rows.with(index, row);
}

/** A failure is left to the live stream, which says when observer is gone. */
async function refreshSessions(store: Store): Promise<void> {
  try {
    store.sessions = await list<SessionRow>("sessions", { limit: ROWS_FIRST });
  } catch {
    // Shown by the connection's state.
  }
}
