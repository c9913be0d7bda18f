// What the parts of the checkpoint service share: settings, collaborators, and the look-up of rows.

import type { Checkpoint, CheckpointRows } from "../core/checkpoint.ts";
import type { Clock } from "../core/clock.ts";
import { ObserverError } from "../core/errors.ts";
import { ID_PATTERN } from "../core/ids.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Background } from "./background.ts";
import type { HelperRunner } from "./helper-runner.ts";
import type { InUse } from "./in-use.ts";
import type { KeepRules } from "./retention.ts";
import type { GuardSettings } from "./space.ts";

export interface CheckpointOptions {
  /** The data directory's `checkpoints/`; made, for us only. */
  directory: string;
  /** Name of this machine, for the rows. */
  host: string;
  /** Limit of everything that takes milliseconds when nothing hangs, in ms. */
  deadlineMs?: number;
  /** Limit of what reads or writes a whole tree, in ms. */
  storeDeadlineMs?: number;
  /** Limit of carrying a restore out, in ms. */
  restoreDeadlineMs?: number;
  /** Excludes beside the default ones: names, or paths relative to the workspace; `*` and `?` are wildcards. */
  exclude?: string[];
  fileBytesMax?: number;
  filesMax?: number;
  totalBytesMax?: number;
  /** Workspaces that the configuration forces although the rules refuse them. */
  allowAnyPath?: string[];
  /** What is kept, and for how long; absent ones are the defaults of `checkpoints.keep_*`. */
  keep?: Partial<KeepSettings>;
  /** How often one checkpoint is read back by itself (0: never), and how fast at most. */
  scrub?: { everyMs: number; bytesPerSecond: number };
  /** Program and arguments that run `runCheckpointHelper`; absolute paths. */
  helperCommand: string[];
}

/** The rules of retention with the bounds of space. */
export interface KeepSettings extends KeepRules, GuardSettings {
  /** Most that the content store may occupy. */
  storeBytes: number;
}

export interface CheckpointDeps {
  rows: CheckpointRows;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** Tells the record what observer found out by itself; a `note` event. */
  tell?: (note: { note: string; workspace: string; [field: string]: unknown }) => void;
}

/** What the service's parts share. */
export interface ServiceParts {
  options: Required<Omit<CheckpointOptions, "keep">> & { keep: KeepSettings };
  deps: CheckpointDeps;
  runner: HelperRunner;
  /** For what may be ended at any instant. */
  background: Background;
  /** Runs `work` when nothing else works on the workspace. Throws `busy` when too many wait. */
  exclusive<T>(workspace: string, work: () => Promise<T>): Promise<T>;
  /** Rows that this process works on, and checkpoints that a restore reads. */
  inUse: InUse;
  /** Checkpoints whose deletion has begun: nobody may read them any more. */
  deleting: Set<string>;
}

/** Refuses what is no id before anything is made of it. Throws `invalid` or `not_found`. */
export function rowOf(rows: CheckpointRows, id: string): Checkpoint {
  if (!ID_PATTERN.test(id))
    throw new ObserverError("invalid", `Cannot use ${JSON.stringify(id)} as a checkpoint's id`, {
      detail: { field: "id", value: id, rule: ID_PATTERN.source },
    });
  const row = rows.get(id);
  if (!row) throw new ObserverError("not_found", `No checkpoint is called ${id}`);
  return row;
}

/** A checkpoint whose content can be read. Throws `conflict` when it has none. */
export function usableRow({ deps, deleting }: ServiceParts, id: string): Checkpoint {
  const row = rowOf(deps.rows, id);
  if (deleting.has(id))
    throw new ObserverError("conflict", `Cannot read checkpoint ${id}: it is being deleted`);
  if (row.status === "ok" || row.status === "partial") return row;
  throw new ObserverError("conflict", `Cannot read checkpoint ${id}: it is ${row.status}`, {
    detail: { status: row.status },
  });
}
