// The contract of what can save a workspace. Backends run in the helper process only, so they may block.

import type { BackendName, Checkpoint, SkippedPath, VerifyResult } from "../core/checkpoint.ts";
import type { BytePath } from "./byte-path.ts";
import type { Rules } from "./rules.ts";
import type { Content, Entry, TreeReader } from "./tree.ts";

/** A resolved, permitted workspace directory. */
export interface Workspace {
  /** Real path. */
  path: string;
  /** Names this directory among all that were ever at its path. */
  identity: string;
}

export interface BackendFacts {
  /** The data directory's `checkpoints/`. */
  directory: string;
  /** How long a writer waits for another one, in ms. */
  lockWaitMs: number;
  /** Wall clock in ms. */
  now: () => number;
}

export interface CreateJob {
  id: string;
  workspace: Workspace;
  rules: Rules;
  /** Paths that must be held whatever the rules say. */
  include: ReadonlySet<BytePath>;
  /** Bytes that must stay free where the content is stored; less: `no_space`. */
  keepFreeBytes: number;
}

/** What a deletion freed. */
export interface Removed {
  warnings: string[];
  /** Bytes given back to the file system; 0 where they come back later. */
  freedBytes: number;
}

export interface VerifyPace {
  /** Reads no faster than this; absent: as fast as it can. */
  bytesPerSecond?: number;
}

/** What was saved; kept with the content too, so that a lost answer can be found again. */
export interface Saved {
  ref: string;
  identity: string;
  files: number | null;
  bytes: number | null;
  verified: boolean;
  skipped: SkippedPath[];
  warnings: string[];
}

/** A checkpoint opened for reading, with the rules that tell which other paths it covers. */
export interface OpenCheckpoint {
  tree: TreeReader;
  rules: Rules;
}

export interface Backend {
  readonly name: BackendName;
  /** Whether it can save this workspace, and why not. */
  detect(workspace: Workspace): { usable: boolean; reason: string };
  /** Saves and reads back. Throws `ObserverError` or a system error. */
  create(job: CreateJob): Saved;
  /** Opens the content of a checkpoint. Throws `corrupt` or `not_found`. */
  open(checkpoint: Checkpoint): OpenCheckpoint;
  /** What is there of a checkpoint whose answer was lost; undefined when nothing is. */
  exists(checkpoint: Checkpoint): Saved | undefined;
  /** Removes the content of all of these. Nothing there is no error. `thorough`: room is short, so it may cost more. */
  delete(checkpoints: Checkpoint[], options?: { thorough: boolean }): Removed;
  /** Reads everything of the checkpoint. */
  verify(checkpoint: Checkpoint, pace?: VerifyPace): VerifyResult;
  /** What is known of unchanged live content, where the backend remembers it. */
  knownContent?(workspace: string): {
    find(path: BytePath, entry: Entry): Content | undefined;
    close(): void;
  };
}
