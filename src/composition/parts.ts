// What all parts of a running observer share: settings, clock, log, metrics, store, live feed, checkpoints.

import { join } from "node:path";
import type { CheckpointOptions } from "../checkpoints/service-parts.ts";
import { createCheckpointService } from "../checkpoints/service.ts";
import type { Settings } from "../config/settings.ts";
import type { Checkpoint, CheckpointRows } from "../core/checkpoint.ts";
import type { Clock } from "../core/clock.ts";
import { createLiveFeed } from "../pipeline/live-feed.ts";
import { createStore, type Store } from "../store/store.ts";
import type { Log } from "../telemetry/log.ts";
import { createMetrics, type Metrics } from "../telemetry/metrics.ts";
import { createNotes, type Notes } from "./notes.ts";

export interface ObserverIo {
  /** One chunk to standard error. */
  stderr: (text: string) => void;
  stderrIsTty: boolean;
  /** How to start this program again for a helper; the hidden verb is appended. */
  selfCommand: string[];
  uid: number;
}

/** Everything that is shared by the parts while it runs. */
export interface Parts {
  settings: Settings;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  store: Store;
  live: ReturnType<typeof createLiveFeed>;
  notes: Notes;
  checkpoints: ReturnType<typeof createCheckpointService>;
}

export function createParts(
  base: { settings: Settings; clock: Clock; log: Log },
  io: ObserverIo,
): Parts {
  const { settings, clock, log } = base;
  const metrics = createMetrics();
  const store = createStore({
    directory: settings.data_dir,
    durability: settings.durability as "full" | "normal",
    host: settings.host_name,
  });
  const notes = createNotes();
  const live = createLiveFeed(clock.now() * 1_000);
  const checkpoints = createCheckpointService(
    {
      directory: join(settings.data_dir, "checkpoints"),
      host: settings.host_name,
      deadlineMs: settings["checkpoints.deadline_ms"],
      storeDeadlineMs: settings["checkpoints.store_deadline_ms"],
      exclude: settings["checkpoints.exclude"],
      fileBytesMax: settings["checkpoints.file_bytes"],
      filesMax: settings["checkpoints.files"],
      totalBytesMax: settings["checkpoints.total_bytes"],
      allowAnyPath: settings.workspaces_forced,
      helperCommand: [...io.selfCommand, "__checkpoint"],
      ...keeping(settings),
    },
    {
      rows: announced(store.checkpointRows, live),
      clock,
      log,
      metrics,
      tell: (note) => void notes.tell(note),
    },
  );
  return { ...base, metrics, store, live, notes, checkpoints };
}

function keeping(settings: Settings): Pick<CheckpointOptions, "keep" | "scrub"> {
  return {
    keep: {
      count: settings["checkpoints.keep_count"],
      allMs: settings["checkpoints.keep_all_ms"],
      hourlyMs: settings["checkpoints.keep_hourly_ms"],
      dailyMs: settings["checkpoints.keep_daily_ms"],
      ageMs: settings["checkpoints.keep_age_ms"],
      safetyMs: settings["checkpoints.keep_safety_ms"],
      storeBytes: settings["checkpoints.keep_store_bytes"],
      keepFreeBytes: settings["checkpoints.keep_free_bytes"],
      keepFreePercent: settings["checkpoints.keep_free_percent"],
    },
    scrub: {
      everyMs: settings["checkpoints.scrub_ms"],
      bytesPerSecond: settings["checkpoints.scrub_bytes_per_s"],
    },
  };
}

/** Checkpoint rows that are also told to the live stream. */
function announced(rows: CheckpointRows, live: Parts["live"]): CheckpointRows {
  const tell = (write: (row: Checkpoint) => void) => (row: Checkpoint) => {
    write(row);
    live.publish("checkpoint", { ...row });
  };
  return { ...rows, insert: tell(rows.insert), update: tell(rows.update) };
}
