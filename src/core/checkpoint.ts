// The checkpoint: a saved state of a workspace, and the contract of what can save one.

export const CHECKPOINT_STATUSES = [
  "pending",
  "ok",
  "partial",
  "failed",
  "unknown",
  "deleted",
] as const;
export type CheckpointStatus = (typeof CHECKPOINT_STATUSES)[number];

export const CHECKPOINT_KINDS = ["auto", "manual", "baseline", "safety"] as const;
export type CheckpointKind = (typeof CHECKPOINT_KINDS)[number];

export type BackendName = "btrfs" | "store";

/** A path that is not in the checkpoint, and why. `listedOnly` ones do not make it `partial`. */
export interface SkippedPath {
  path: string;
  /** Base64 of the bytes, where the path is not UTF-8. */
  path_b64?: string;
  reason: string;
  listedOnly: boolean;
}

export interface Checkpoint {
  id: string;
  host: string;
  workspace: string;
  backend: BackendName;
  kind: CheckpointKind;
  /** Why it was taken: an interruption's type, `manual`, `before restore of <id>`. */
  reason: string;
  label: string | null;
  interruptionId: string | null;
  sessionId: string | null;
  agent: string | null;
  createdMs: number;
  durationMs: number | null;
  files: number | null;
  bytes: number | null;
  /** True only when the new content and the manifest were read back. */
  verified: boolean;
  pinned: boolean;
  /** The checkpoint that this one builds on; on an unchanged tree, the one whose content it shares. */
  parentId: string | null;
  status: CheckpointStatus;
  skipped: SkippedPath[];
  warnings: string[];
  /** Backend's handle of the content, derived from ids only, e.g. a snapshot directory or a manifest hash. */
  ref: string | null;
  /** What the workspace was when it was saved (file system and inode, subvolume UUID). */
  identity: string | null;
  error: string | null;
}

export interface CreateRequest {
  workspace: string;
  kind: CheckpointKind;
  reason: string;
  label?: string;
  interruptionId?: string;
  sessionId?: string;
  agent?: string;
}

export type ChangeKind = "added" | "modified" | "deleted" | "renamed";

/** One difference between two trees. Sizes are bytes; absent on the side where the path is not. */
export interface Change {
  path: string;
  path_b64?: string;
  change: ChangeKind;
  /** `file`, `directory`, `symlink`. */
  type: string;
  /** Where it was before; renames only. */
  from?: string;
  size_before?: number;
  size_after?: number;
  /** What differs: `content`, `links`, `mode`, `mtime`, `owner`, `target`, `type`, `xattr`. */
  what?: string[];
}

/** What differs inside one file. Sizes are bytes; absent on the side where the path is not. */
export interface TextDiff {
  path: string;
  path_b64?: string;
  size_before?: number;
  size_after?: number;
  /** Unified diff; empty where the content is the same; null where it cannot be shown. */
  text: string | null;
  reason?: "binary" | "not_a_file" | "too_different" | "too_large";
}

export interface RestoreRequest {
  id: string;
  /** Only this path of the workspace, relative to it. */
  path?: string;
  dryRun?: boolean;
  freeze?: boolean;
  force?: boolean;
}

export interface RestoreResult {
  checkpoint_id: string;
  workspace: string;
  status: "done" | "planned";
  safety_id: string | null;
  /** What the restore changes (or would change) in the workspace. */
  changes: Change[];
  /** Paths in the workspace that the checkpoint does not cover and that stay as they are. */
  untouched: number;
  duration_ms: number;
  warnings: string[];
}

export interface VerifyResult {
  id: string;
  ok: boolean;
  files_checked: number;
  bytes_checked: number;
  problems: string[];
}

/** Why retention removes a checkpoint; docs/checkpoints.md says it of each. */
export type PruneReason =
  | "failed"
  | "age"
  | "safety_age"
  | "thinned"
  | "count"
  | "store_size"
  | "free_space";

export interface Removal {
  id: string;
  workspace: string;
  reason: PruneReason;
  /** Bytes that it holds, shared content included; null where they were not counted. */
  bytes: number | null;
}

export interface PruneRequest {
  /** Only checkpoints of this workspace; its real path. */
  workspace?: string;
  /** Only says what would be removed. */
  dryRun?: boolean;
}

export interface PruneResult {
  /** What was removed, or would be. */
  items: Removal[];
  dry_run: boolean;
  /** Bytes given back to the file system by now; btrfs frees in its own time. */
  freed_bytes: number;
  /** What should have been removed and could not be. */
  failed: { id: string; error: string }[];
}

/** Whether a workspace can be saved, and as what it is known. */
export interface Inspected {
  /** Null: it cannot be saved, and `reason` says why. */
  backend: BackendName | null;
  reason: string;
  /** Real path; null where it cannot be looked at. */
  path: string | null;
  /** Names this directory among all that were ever at its path. */
  identity: string | null;
  /** True when the look itself was cut short, so that it proves nothing. */
  unsure: boolean;
}

/** What the rest of observer may ask of checkpoints. Errors are `ObserverError`s with a stable code. */
export interface CheckpointService {
  /**
   * Resolves when it is complete and its row is stored; a checkpoint that failed is returned, not thrown. Throws
   * `refused_path`, `invalid`, and `no_space` (its row is kept) when free space would fall below what must stay free.
   */
  create(request: CreateRequest): Promise<Checkpoint>;
  /** `toId` absent: against the live workspace. */
  diff(id: string, toId?: string, path?: string): Promise<Change[]>;
  /** The same for the content of one file. */
  diffText(id: string, toId: string | undefined, path: string): Promise<TextDiff>;
  restore(request: RestoreRequest): Promise<RestoreResult>;
  /** Reads everything back and notes in the row what came of it. */
  verify(id: string): Promise<VerifyResult>;
  delete(id: string): Promise<Checkpoint>;
  pin(id: string, pinned: boolean): Promise<Checkpoint>;
  /** Removes what retention no longer keeps, or says what that is. */
  prune(request: PruneRequest): Promise<PruneResult>;
  /** Which backend would serve this workspace, or why it cannot be saved. */
  inspect(workspace: string): Promise<Inspected>;
}

/** Where checkpoint rows are kept; the store implements it, checkpoints write through it. */
export interface CheckpointRows {
  insert(row: Checkpoint): void;
  update(row: Checkpoint): void;
  get(id: string): Checkpoint | null;
  /** Rows whose id starts with `prefix`, at most two; `latest` is resolved by the caller. */
  byPrefix(prefix: string): Checkpoint[];
  /** Newest first. Deleted rows are left out unless asked for. */
  list(filter: {
    workspace?: string;
    status?: CheckpointStatus[];
    includeDeleted?: boolean;
    limit?: number;
  }): Checkpoint[];
}
