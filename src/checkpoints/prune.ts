// Carries retention out: in the background with a limit, by request, and where a checkpoint needs room.

import { accessSync, constants } from "node:fs";
import { dirname } from "node:path";
import type { Checkpoint, PruneRequest, PruneResult, Removal } from "../core/checkpoint.ts";
import { messageOf, ObserverError } from "../core/errors.ts";
import { formatSize } from "../core/units.ts";
import type { Deletions } from "./deletions.ts";
import { journalCheckpoints } from "./journal.ts";
import { planRetention, shortfall, type RetentionFacts, type Volume } from "./retention.ts";
import type { ServiceParts } from "./service-parts.ts";
import { guardBytes, spaceOf } from "./space.ts";

/** Checkpoints of one round; at one round every ten minutes more than any trigger makes. */
const ROUND_MAX = 50;
/** Checkpoints of one helper: the store is swept once for all of them, and nobody waits long for its end. */
const BATCH_MAX = 10;
/** After the clock was set, ages mean nothing for this long: a wrong clock is mended within minutes of a start. */
const DISTRUST_MS = 3_600_000;
/** A difference between the two clocks that is no drift and no suspension of seconds. */
const JUMP_MS = 3_600_000;
/** How often a checkpoint that found no room is tried again after older ones gave way. */
const ATTEMPTS_MAX = 3;
const STORE = "store";
const ROOM_REASONS = new Set(["store_size", "free_space"]);

export interface Retention {
  /** One round in the background: what is due, at most `ROUND_MAX`. */
  round(): Promise<void>;
  /** What the next rounds would remove. */
  plan(workspace?: string): Promise<Removal[]>;
  prune(request: PruneRequest): Promise<PruneResult>;
  /** Before a checkpoint goes to the store: older ones give way. Throws `no_space` when that is not enough. */
  expectRoom(workspace: string): Promise<void>;
  /** Does `work`; where it finds no room, older checkpoints give way and it is tried again. */
  withRoom<T>(work: () => Promise<T>): Promise<T>;
  /** After one went to the store: where room is short by now, a round begins at once. */
  afterSave(): void;
  /** Bytes that must stay free on the store's file system. */
  guard(): number;
  /** Why the store can take nothing more, also after pruning; null when it can. */
  trouble(): Promise<string | null>;
}

interface Run {
  workspace?: string | undefined;
  background: boolean;
  /** Most checkpoints to remove. */
  limit: number;
  /** Bytes that must be free on the store's file system beyond the guard: the run ends when they are. */
  roomBytes?: number;
}

export function createRetention(parts: ServiceParts, deletions: Deletions): Retention {
  const { options } = parts;
  const { look, run } = createPruner(parts, deletions);
  const guard = (): number => guardOf(parts);
  const freeBytes = (): number => spaceOf(options.directory).freeBytes;
  return {
    async round() {
      await run({ background: true, limit: ROUND_MAX });
    },
    plan: async (workspace) => await look({ workspace, background: true, limit: Infinity }, 1),
    async prune({ workspace, dryRun }) {
      if (!dryRun) return await run({ workspace, background: false, limit: Infinity });
      const items = await look({ workspace, background: false, limit: Infinity }, 1);
      return { items, dry_run: true, freed_bytes: 0, failed: [] };
    },
    async expectRoom(workspace) {
      if (freeBytes() >= guard()) return;
      parts.background.giveWay();
      await run({ background: false, limit: Infinity, roomBytes: 0 });
      if (freeBytes() < guard()) throw noRoom(workspace, freeBytes(), guard());
    },
    async withRoom(work) {
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await work();
        } catch (error) {
          if (!(error instanceof ObserverError) || error.code !== "no_space") throw error;
          if (attempt >= ATTEMPTS_MAX) throw error;
          // More than there was is needed; how much more, nobody knows.
          const roomBytes = Math.max(0, freeBytes() - guard()) + 1;
          const { items } = await run({ background: false, limit: 2 * BATCH_MAX, roomBytes });
          if (items.length === 0) throw error;
        }
      }
    },
    afterSave() {
      if (freeBytes() >= guard()) return;
      run({ background: true, limit: ROUND_MAX }).catch((error: unknown) => {
        parts.deps.log.warn("retention failed", { error: messageOf(error) });
      });
    },
    guard,
    async trouble() {
      try {
        accessSync(options.directory, constants.W_OK);
      } catch (error) {
        return `the checkpoint store cannot be written: ${messageOf(error)}`;
      }
      if (freeBytes() >= guard()) return null;
      const going = await look({ background: true, limit: Infinity, roomBytes: 0 }, 1);
      return going.length > 0 ? null : noRoom("more", freeBytes(), guard()).message;
    },
  };
}

function guardOf({ options }: ServiceParts): number {
  return guardBytes(options.keep, spaceOf(options.directory).sizeBytes);
}

interface Pruner {
  /** What is to be removed now. */
  look(run: Run, roomStep: number): Promise<Removal[]>;
  run(run: Run): Promise<PruneResult>;
}

function createPruner(parts: ServiceParts, deletions: Deletions): Pruner {
  const { options, deps } = parts;
  const clockTrusted = createClockTrust(deps.clock);
  let tail: Promise<unknown> = Promise.resolve();
  const look: Pruner["look"] = async (run, roomStep) => {
    const rows = deps.rows.list({ limit: Number.MAX_SAFE_INTEGER });
    const volumes = await volumesOf(parts, rows, run);
    const restoring = journalCheckpoints(options.directory);
    const facts: RetentionFacts = {
      nowMs: deps.clock.now(),
      clockTrusted: clockTrusted(),
      isInUse: (id) => parts.inUse.has(id) || parts.deleting.has(id) || restoring.has(id),
      volumeOf,
      volumes,
      roomStep,
    };
    return planRetention(rows, facts, options.keep).filter(
      ({ workspace }) => run.workspace === undefined || workspace === run.workspace,
    );
  };
  const hasRoom = ({ roomBytes }: Run): boolean =>
    roomBytes !== undefined && spaceOf(options.directory).freeBytes >= guardOf(parts) + roomBytes;
  const perform = async (run: Run): Promise<PruneResult> => {
    const result: PruneResult = { items: [], dry_run: false, freed_bytes: 0, failed: [] };
    const tried = new Set<string>();
    let roomStep = 1;
    while (result.items.length < run.limit && !hasRoom(run)) {
      const due = (await look(run, roomStep)).filter(({ id }) => !tried.has(id));
      const batch = oneBatch(parts, due.slice(0, run.limit - result.items.length));
      if (batch.rows.length === 0) break;
      for (const { id } of batch.rows) tried.add(id);
      if (!(await removeBatch({ parts, deletions, run, result }, batch))) break;
      // What gave way may have freed little, because others hold the same content.
      roomStep = isForRoom(batch.removals) ? Math.min(roomStep * 2, BATCH_MAX) : 1;
    }
    return result;
  };
  return {
    look,
    /** One at a time: two would count the same shortfall twice. */
    async run(request) {
      const turn = tail.then(async () => await perform(request));
      tail = turn.catch(() => undefined);
      return await turn;
    },
  };
}

function noRoom(workspace: string, freeBytes: number, keepFreeBytes: number): ObserverError {
  return new ObserverError(
    "no_space",
    `Cannot save ${workspace}: ${formatSize(freeBytes)} are free where checkpoints are kept, ${formatSize(keepFreeBytes)} must stay free, and no checkpoint is left that may be pruned`,
    { detail: { free_bytes: freeBytes, keep_free_bytes: keepFreeBytes } },
  );
}

interface Batch {
  rows: Checkpoint[];
  removals: Removal[];
}

/** Those that one helper can remove: of the store, or of one workspace's snapshots. */
function oneBatch({ deps, inUse, deleting }: ServiceParts, due: Removal[]): Batch {
  const batch: Batch = { rows: [], removals: [] };
  for (const removal of due) {
    const row = deps.rows.get(removal.id);
    // It may have been pinned, or taken up, since the plan was made.
    if (!row || row.pinned || inUse.has(row.id) || deleting.has(row.id)) continue;
    const first = batch.rows[0] ?? row;
    const together =
      row.backend === first.backend && (row.backend === STORE || row.workspace === first.workspace);
    if (!together) continue;
    batch.rows.push(row);
    batch.removals.push(removal);
    if (batch.rows.length === BATCH_MAX) break;
  }
  return batch;
}

function isForRoom(removals: Removal[]): boolean {
  return removals.every(({ reason }) => ROOM_REASONS.has(reason));
}

/** False when it had to give way: then the rest waits for the next round. */
async function removeBatch(
  work: { parts: ServiceParts; deletions: Deletions; run: Run; result: PruneResult },
  { rows, removals }: Batch,
): Promise<boolean> {
  const { parts, deletions, run, result } = work;
  const { log, metrics } = parts.deps;
  try {
    const { background } = run;
    const { freedBytes } = await deletions.remove(rows, {
      background,
      thorough: isForRoom(removals),
    });
    result.items.push(...removals);
    result.freed_bytes += freedBytes;
    for (const { id, workspace, reason, bytes } of removals) {
      metrics.add("observer_checkpoints_pruned_total", 1, { reason });
      log.info("checkpoint pruned", { id, workspace, reason, bytes });
    }
    return true;
  } catch (error) {
    if (run.background && error instanceof ObserverError && error.code === "timeout") {
      log.info("pruning gave way", { ids: rows.map(({ id }) => id).join(" ") });
      return false;
    }
    metrics.add("observer_checkpoint_prune_failures_total", rows.length);
    log.warn("checkpoints not pruned", {
      ids: rows.map(({ id }) => id).join(" "),
      error: messageOf(error),
    });
    for (const { id } of rows) result.failed.push({ id, error: messageOf(error) });
    return true;
  }
}

/** Where a row's content lies: the store, or the directory of its workspace's snapshots. */
function volumeOf({ backend, ref }: Checkpoint): string | null {
  if (backend === STORE) return STORE;
  return ref === null ? null : dirname(ref);
}

async function volumesOf(
  { runner, options, deps }: ServiceParts,
  rows: Checkpoint[],
  { roomBytes }: Run,
): Promise<Map<string, Volume>> {
  const others = roomBytes === undefined ? rows.flatMap((row) => volumeOf(row) ?? []) : [];
  const keys = new Set([STORE, ...others]);
  const volumes = new Map<string, Volume>();
  for (const key of keys) {
    try {
      const { freeBytes, sizeBytes, usedBytes } = await runner.run({
        op: "space",
        request: { path: key === STORE ? null : key },
        deadlineMs: options.deadlineMs,
      });
      const extra = key === STORE ? (roomBytes ?? 0) : 0;
      const max = options.keep.storeBytes;
      volumes.set(key, {
        freeBytes,
        guardBytes: guardBytes(options.keep, sizeBytes) + extra,
        used: key === STORE ? { bytes: usedBytes, max } : null,
      });
    } catch (error) {
      // A hung file system: what is on it is judged by age and number only.
      deps.log.warn("room for checkpoints is not known", { at: key, error: messageOf(error) });
    }
  }
  gauge(deps, volumes.get(STORE));
  return volumes;
}

function gauge({ metrics }: ServiceParts["deps"], store: Volume | undefined): void {
  if (!store) return;
  metrics.set("observer_checkpoint_store_bytes", store.used?.bytes ?? 0);
  metrics.set("observer_checkpoint_free_bytes", store.freeBytes);
  metrics.set("observer_checkpoint_short_bytes", Math.max(0, shortfall(store)));
}

/** Whether ages can be believed: not for a while after the wall clock was set. */
function createClockTrust(clock: ServiceParts["deps"]["clock"]): () => boolean {
  const offset = (): number => clock.now() - clock.monotonic();
  let known = offset();
  let distrustUntilMs = -Infinity;
  return () => {
    const now = offset();
    if (Math.abs(now - known) > JUMP_MS) distrustUntilMs = clock.monotonic() + DISTRUST_MS;
    known = now;
    return clock.monotonic() >= distrustUntilMs;
  };
}
