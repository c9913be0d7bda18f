// Which checkpoints are kept: pure, from the rows, the time and the room there is.

import type { Checkpoint, PruneReason, Removal } from "../core/checkpoint.ts";

export interface KeepRules {
  /** Most checkpoints of one workspace; pinned ones and safety copies do not count. */
  count: number;
  /** Younger than this: every one is kept. */
  allMs: number;
  /** Younger than this: one an hour. */
  hourlyMs: number;
  /** Younger than this: one a day. Older: one a week. */
  dailyMs: number;
  /** Older than this: none. */
  ageMs: number;
  /** The same for safety copies, which nothing else thins. */
  safetyMs: number;
}

/** A file system that holds content. */
export interface Volume {
  freeBytes: number;
  /** What must stay free. */
  guardBytes: number;
  /** What checkpoints occupy, and the most they may; null where they are not measured. */
  used: { bytes: number; max: number } | null;
}

export interface RetentionFacts {
  nowMs: number;
  /** False after the clock was set: nothing is judged by its age then. */
  clockTrusted: boolean;
  /** A restore, a comparison or another deletion works on it. */
  isInUse(id: string): boolean;
  /** The key of the volume that holds its content; null where that is not known. */
  volumeOf(row: Checkpoint): string | null;
  volumes: ReadonlyMap<string, Volume>;
  /** Least number of checkpoints that give way where room is short; what each frees cannot be known before. */
  roomStep: number;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const WEEK_MS = 7 * DAY_MS;

/**
 * What is to be removed, and why, in the order in which it should go. `rows`: newest first, deleted ones left
 * out. Pinned ones, the newest usable one of each workspace and its newest one that is no safety copy never go.
 */
export function planRetention(
  rows: readonly Checkpoint[],
  facts: RetentionFacts,
  rules: KeepRules,
): Removal[] {
  const kept = keptAlways(rows, facts);
  const removed = new Map<string, Removal>();
  const remove = (row: Checkpoint, reason: PruneReason): void => {
    const { id, workspace, bytes } = row;
    if (!kept.has(id) && !removed.has(id)) removed.set(id, { id, workspace, reason, bytes });
  };
  if (facts.clockTrusted)
    for (const row of rows) {
      const reason = expiry(row, facts.nowMs - row.createdMs, rules);
      if (reason) remove(row, reason);
    }
  for (const own of byWorkspace(rows)) {
    const left = (): Checkpoint[] => own.filter(({ id }) => !removed.has(id));
    if (facts.clockTrusted)
      for (const row of thinned(left(), facts.nowMs, rules)) remove(row, "thinned");
    const counted = left().filter((row) => !row.pinned && row.kind !== "safety" && isUsable(row));
    for (const row of counted.slice(rules.count)) remove(row, "count");
  }
  const candidates = rows.filter(({ id }) => !kept.has(id) && !removed.has(id)).filter(isUsable);
  for (const [volume, room] of facts.volumes) {
    const here = (row: Checkpoint): boolean => facts.volumeOf(row) === volume;
    const going = rows.filter((row) => removed.has(row.id) && here(row));
    const reason: PruneReason = room.freeBytes < room.guardBytes ? "free_space" : "store_size";
    const makingRoom = giveWay(candidates.filter(here), {
      shortBytes: shortfall(room) - held(going),
      others: rows.filter((row) => !removed.has(row.id) && here(row)),
      step: facts.roomStep,
    });
    for (const row of makingRoom) remove(row, reason);
  }
  return [...removed.values()];
}

/** Content can be read from it, perhaps not all of it. */
export function isUsable({ status }: Checkpoint): boolean {
  return status === "ok" || status === "partial";
}

/** A later look found content broken: `verified` was true when it was taken. */
export function isDamaged(row: Checkpoint): boolean {
  return isUsable(row) && !row.verified;
}

/** Bytes by which a volume is over its bounds; 0 or less when it is not. */
export function shortfall({ freeBytes, guardBytes, used }: Volume): number {
  return Math.max(guardBytes - freeBytes, used ? used.bytes - used.max : 0);
}

function keptAlways(rows: readonly Checkpoint[], { isInUse }: RetentionFacts): Set<string> {
  const kept = new Set<string>();
  for (const own of byWorkspace(rows)) {
    const usable = own.filter(isUsable);
    const sound = usable.filter((row) => !isDamaged(row));
    const pool = sound.length > 0 ? sound : usable;
    for (const row of [pool[0], pool.find(({ kind }) => kind !== "safety")])
      if (row) kept.add(row.id);
  }
  for (const { id, pinned, status } of rows)
    if (pinned || status === "pending" || isInUse(id)) kept.add(id);
  return kept;
}

function byWorkspace(rows: readonly Checkpoint[]): Checkpoint[][] {
  return [...Map.groupBy(rows, ({ workspace }) => workspace).values()];
}

function expiry(row: Checkpoint, age: number, rules: KeepRules): PruneReason | undefined {
  if (!isUsable(row)) return age > rules.ageMs ? "failed" : undefined;
  if (row.kind === "safety") return age > rules.safetyMs ? "safety_age" : undefined;
  return age > rules.ageMs ? "age" : undefined;
}

/** Those that another one of the same hour, day or week stands for. What a person asked for is not thinned. */
function thinned(own: Checkpoint[], nowMs: number, rules: KeepRules): Checkpoint[] {
  const thinnable = own.filter(
    (row) => isUsable(row) && !row.pinned && (row.kind === "auto" || row.kind === "baseline"),
  );
  const buckets = Map.groupBy(thinnable, (row) => bucketOf(row.createdMs, nowMs, rules));
  return [...buckets].flatMap(([bucket, rowsOf]) => {
    if (bucket === null) return [];
    const best = rowsOf.reduce((a, b) => (worth(b) > worth(a) ? b : a));
    return rowsOf.filter((row) => row !== best);
  });
}

/** A whole one stands for its hour rather than a partial or a damaged one; among equals the newest, which comes first. */
function worth(row: Checkpoint): number {
  return (isDamaged(row) ? 0 : 2) + (row.status === "ok" ? 1 : 0);
}

function bucketOf(createdMs: number, nowMs: number, rules: KeepRules): string | null {
  const age = nowMs - createdMs;
  if (age <= rules.allMs) return null;
  if (age <= rules.hourlyMs) return `hour ${Math.floor(createdMs / HOUR_MS)}`;
  if (age <= rules.dailyMs) return `day ${Math.floor(createdMs / DAY_MS)}`;
  return `week ${Math.floor(createdMs / WEEK_MS)}`;
}

/** The first to go where room is short: damaged, then automatic, then safety copies, then what a person asked for. */
const RANK = { auto: 1, baseline: 1, safety: 2, manual: 3 };

function giveWay(
  candidates: Checkpoint[],
  { shortBytes, others, step }: { shortBytes: number; others: Checkpoint[]; step: number },
): Checkpoint[] {
  if (shortBytes <= 0) return [];
  const rank = (row: Checkpoint): number => (isDamaged(row) ? 0 : RANK[row.kind]);
  const oldestFirst = candidates.toReversed().sort((a, b) => rank(a) - rank(b));
  const holders = new Map<string, number>();
  for (const { ref } of others) if (ref !== null) holders.set(ref, (holders.get(ref) ?? 0) + 1);
  const going: Checkpoint[] = [];
  let freed = 0;
  for (const row of oldestFirst) {
    if (freed >= shortBytes && going.length >= step) break;
    going.push(row);
    // Another one holds the very same content: then this one frees nothing.
    const left = (holders.get(row.ref ?? "") ?? 1) - 1;
    holders.set(row.ref ?? "", left);
    if (left <= 0) freed += row.bytes ?? Infinity;
  }
  return going;
}

function held(rows: Checkpoint[]): number {
  return rows.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
}
