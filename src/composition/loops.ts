// What is done again and again: settling the store, looking at the disk, telling numbers.

import { statfsSync } from "node:fs";
import type { Settings } from "../config/settings.ts";
import { type LoopOptions, supervise } from "../pipeline/supervise.ts";
import type { Parts } from "./parts.ts";

/** Indices and sums are written this often; reads do it too, so nobody sees the delay. */
const SETTLE_MS = 1_000;
/** Checkpoints whose outcome was unknown are looked for this often. */
export const RECOVER_MS = 60_000;
/** Nothing that retention judges changes within minutes; where room is short, checkpoints call it themselves. */
const RETENTION_MS = 600_000;
const STATS_MS = 5_000;

/** Refuses ingest before the disk is full, and takes it again by itself when there is room. */
export function watchDisk(settings: Settings): { full: () => boolean; check: () => void } {
  let full = false;
  const check = (): void => {
    const { bavail, bsize } = statfsSync(settings.data_dir);
    full = bavail * bsize < settings["limits.disk_free_bytes"];
  };
  check();
  return { full: () => full, check };
}

export function startLoops(
  { store, live, checkpoints, log, metrics }: Parts,
  others: LoopOptions[],
): () => Promise<void> {
  const loops: LoopOptions[] = [
    ...others,
    {
      name: "settle",
      everyMs: SETTLE_MS,
      round: () => {
        store.settle();
        return store.persist();
      },
    },
    { name: "recover", everyMs: RECOVER_MS, round: () => checkpoints.recover() },
    { name: "retention", everyMs: RETENTION_MS, round: () => checkpoints.retention.round() },
    { name: "scrub", everyMs: RETENTION_MS, round: () => checkpoints.scrub() },
    {
      name: "stats",
      everyMs: STATS_MS,
      round: () => {
        metrics.set("observer_database_bytes", store.databaseBytes());
        live.publish("stats", store.ring.stats());
      },
    },
  ];
  const ends = loops.map((loop) => supervise(loop, { log, metrics }));
  return async () => {
    const ended = Promise.all(ends.map((end) => end()));
    // A scrub may take minutes, and is worth no wait.
    checkpoints.endBackground();
    await ended;
  };
}
