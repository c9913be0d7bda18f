// What the parts of the checkpoint service share: settings, collaborators, and the look-up of rows.

import type { Checkpoint, CheckpointRows } from "../core/checkpoint.ts";
import type { Clock } from "../core/clock.ts";
import { ObserverError } from "../core/errors.ts";
import { ID_PATTERN } from "../core/ids.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { HelperRunner } from "./helper-runner.ts";

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
  /** Program and arguments that run `runCheckpointHelper`; absolute paths. */
  helperCommand: string[];
}

export interface CheckpointDeps {
  rows: CheckpointRows;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

/** What the service's parts share. */
export interface ServiceParts {
  options: Required<CheckpointOptions>;
  deps: CheckpointDeps;
  runner: HelperRunner;
  /** Runs `work` when nothing else works on the workspace. Throws `busy` when too many wait. */
  exclusive<T>(workspace: string, work: () => Promise<T>): Promise<T>;
  /** Rows that this process works on, and checkpoints that a restore reads. */
  inUse: Set<string>;
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
export function usableRow(rows: CheckpointRows, id: string): Checkpoint {
  const row = rowOf(rows, id);
  if (row.status === "ok" || row.status === "partial") return row;
  throw new ObserverError("conflict", `Cannot read checkpoint ${id}: it is ${row.status}`, {
    detail: { status: row.status },
  });
}
