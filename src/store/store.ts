// The store: one SQLite file, one writer. Commits what a tick decided; keeps the slower indices behind a watermark.

import type { Checkpoint, CheckpointRows } from "../core/checkpoint.ts";
import type { ObserverEvent } from "../core/event.ts";
import type { Interruption } from "../core/interruption.ts";
import type { ReactionRecord } from "../core/reaction.ts";
import type { Session } from "../core/session.ts";
import { type AgentRows, createAgentRows } from "./agent-rows.ts";
import { CHECKPOINT_LISTING, createCheckpointRows } from "./checkpoint-rows.ts";
import { type DatabaseOptions, openDatabase } from "./database.ts";
import type { Known } from "./event-ids.ts";
import { listEvents } from "./event-list.ts";
import { createEventRows, type EventRow, type EventRows, type StoredEvent } from "./event-rows.ts";
import { createFollower } from "./follower.ts";
import { createInterruptionRows, INTERRUPTION_LISTING } from "./interruption-rows.ts";
import { listRows, type Listing } from "./list-rows.ts";
import { createMeta, type Facts } from "./meta.ts";
import type { OperationsRing } from "./operations-ring.ts";
import type { ListQuery, Page } from "./query.ts";
import { createReactionRows, REACTION_LISTING } from "./reaction-rows.ts";
import { SESSION_LISTING } from "./session-rows.ts";
import { createWalSync } from "./wal-sync.ts";

/** All that one tick writes; either all of it is kept or none. */
export interface CommitBatch {
  events: StoredEvent[];
  openedInterruptions: Interruption[];
  changedInterruptions: Interruption[];
  reactions: ReactionRecord[];
}

interface Listable<T> {
  list(query: ListQuery): Promise<Page<T>>;
  get(id: string): T | null;
}

export interface Store {
  /** Position that the next event gets. */
  nextSeq(): number;
  /** Id of an event that came without one. */
  ownId(seq: number): string;
  /** Whether this (source, id) is stored; `digest` null: without comparing the body. */
  known(source: string, id: string, digest: number | null): Known | null;
  /** One transaction. @throws what SQLite throws; then nothing of the batch is kept. */
  commit(batch: CommitBatch): void;
  /** Null when all that was committed has its promised durability, else a promise of it. `events`: of the last commit. */
  durable(events: number): Promise<void> | null;
  /** Writes the indices and sums of what was committed since the last time. */
  settle(): void;
  /** Events received at or after `sinceMs`, the newest `max` of them, oldest first, for rebuilding detectors. */
  recentEvents(sinceMs: number, max: number): Iterable<ObserverEvent>;
  updateInterruption(it: Interruption): void;
  openInterruptions(sinceMs: number): Interruption[];
  updateReaction(it: ReactionRecord): void;
  unfinishedReactions(): ReactionRecord[];
  readonly ring: OperationsRing;
  readonly events: Listable<ObserverEvent>;
  readonly sessions: Listable<Session>;
  readonly interruptions: Listable<Interruption>;
  readonly reactions: Listable<ReactionRecord>;
  readonly checkpoints: Listable<Checkpoint>;
  readonly checkpointRows: CheckpointRows;
  readonly agentRows: AgentRows;
  readonly facts: Facts;
  /**
   * Syncs what was written since the last time, in every mode: without it a power cut in `normal` mode would
   * cost everything since the log was last folded in, which a quiet database does rarely.
   */
  persist(): Promise<void>;
  /** Why nothing that is committed can be promised to stay, or null. Only a new start ends it. */
  broken(): string | null;
  databaseBytes(): number;
  close(): void;
}

export interface StoreOptions extends DatabaseOptions {
  /** Name of this host; rows of another one say so. */
  host: string;
}

export function createStore(options: StoreOptions): Store {
  const database = openDatabase(options);
  const meta = createMeta(database);
  const rows = createEventRows(database, { host: options.host, idPrefix: meta.idPrefix });
  const follower = createFollower(database, { rows, meta });
  const interruptions = createInterruptionRows(database);
  const reactions = createReactionRows(database);
  const checkpointRows = createCheckpointRows(database);

  const sync = createWalSync(`${database.filename}-wal`);
  const changes = database.prepare<{ total: number }, []>("SELECT total_changes() AS total");
  let persisted = 0;

  const insertAll = database.transaction((batch: CommitBatch) => {
    for (const stored of batch.events) rows.insert(stored);
    for (const it of batch.openedInterruptions) interruptions.insert(it);
    for (const it of batch.changedInterruptions) interruptions.update(it);
    for (const it of batch.reactions) reactions.insert(it);
  });

  const listing = <T>(of: Listing<T>, get: (id: string) => T | null): Listable<T> => ({
    list: async (query) => {
      follower.settle();
      return listRows(database, of, query);
    },
    get,
  });

  return {
    nextSeq: follower.nextSeq,
    ownId: rows.ownId,
    known: follower.ids.find,
    commit(batch) {
      insertAll.immediate(batch);
      for (const { event, given } of batch.events) follower.add(event, given);
    },
    durable: (events) => (options.durability === "full" ? sync.durable(events > 0) : null),
    settle: follower.settle,
    async persist() {
      const total = changes.get()?.total ?? 0;
      if (total === persisted) return;
      persisted = total;
      await sync.durable(true);
    },
    recentEvents: (sinceMs, max) => eventsSince(rows, sinceMs, max),
    updateInterruption: interruptions.update,
    openInterruptions: interruptions.open,
    updateReaction: reactions.update,
    unfinishedReactions: reactions.unfinished,
    ring: follower.ring,
    events: createEventReads(rows, follower),
    sessions: listing(SESSION_LISTING, follower.sessions.get),
    interruptions: listing(INTERRUPTION_LISTING, interruptions.get),
    reactions: listing(REACTION_LISTING, reactions.get),
    checkpoints: listing(CHECKPOINT_LISTING, (id) => checkpointRows.get(id)),
    checkpointRows,
    agentRows: createAgentRows(database),
    facts: meta.facts,
    broken: () => sync.broken()?.message ?? null,
    databaseBytes: () => Bun.file(database.filename).size,
    close() {
      follower.settle();
      sync.close();
      database.close();
    },
  };
}

function createEventReads(
  rows: EventRows,
  follower: ReturnType<typeof createFollower>,
): Listable<ObserverEvent> {
  const newestWithId = (id: string): EventRow | null => {
    const found = follower.ids.positions(id).map((seq) => rows.row(seq));
    return found.filter((row) => row?.id === id).at(-1) ?? null;
  };
  return {
    list: async (query) => {
      follower.settle();
      return listEvents(query, { rows, postings: follower.postings });
    },
    get: (id) => {
      follower.settle();
      const own = rows.seqOfOwnId(id);
      const row = own === null ? newestWithId(id) : rows.row(own);
      return row ? rows.toEvent(row) : null;
    },
  };
}

/** Receipt times rise with positions (but for clock jumps), so the start is found by halving. */
function* eventsSince(rows: EventRows, sinceMs: number, max: number): Generator<ObserverEvent> {
  let high = rows.newestSeq();
  let low = Math.max(0, high - max);
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const row = rows.firstAfter(middle);
    if (row && row.received_ms < sinceMs) low = row.seq;
    else high = middle;
  }
  for (const row of rows.after(low)) yield rows.toEvent(row);
}
