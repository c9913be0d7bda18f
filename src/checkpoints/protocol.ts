// What observer and its checkpoint helper say to each other: one JSON request, one JSON answer.

import type {
  BackendName,
  Change,
  Checkpoint,
  TextDiff,
  VerifyResult,
} from "../core/checkpoint.ts";
import type { ErrorCode } from "../core/errors.ts";
import type { Removed, Saved } from "./backend.ts";
import type { BytePath } from "./byte-path.ts";
import type { Occupant } from "./occupants.ts";
import type { Rules } from "./rules.ts";
import type { Space } from "./space.ts";
import type { MendRequest, Rebuilt } from "./store/rebuild.ts";
import type { PathRules } from "./workspace.ts";

export interface Inspection {
  workspace: string;
  identity: string;
  backend: BackendName;
  reason: string;
}

export interface Planned {
  changes: Change[];
  untouched: number;
  /** Living paths that the restore changes or removes; the safety checkpoint must hold them. */
  touched: BytePath[];
  occupants: Occupant[];
  /** The workspace is gone and will be made again. */
  missing: boolean;
  warnings: string[];
}

export interface Restored {
  files: number;
  bytes: number;
  warnings: string[];
  /** What still differs although it should not. */
  residual: Change[];
}

export interface RestoreJob {
  checkpoint: Checkpoint;
  path: BytePath;
  force: boolean;
}

/** Every operation: what it is given and what it answers. */
export interface Operations {
  inspect: { request: { workspace: string }; answer: Inspection };
  create: {
    request: {
      id: string;
      workspace: string;
      backend: BackendName;
      rules: Rules;
      include: BytePath[];
      /** Give way to everything else on the machine. */
      background: boolean;
      /** Bytes that must stay free where the store is. */
      keepFreeBytes: number;
    };
    answer: Saved;
  };
  exists: { request: { checkpoint: Checkpoint }; answer: { saved: Saved | null } };
  /** All of one backend. */
  delete: {
    request: { checkpoints: Checkpoint[]; background: boolean; thorough: boolean };
    answer: Removed;
  };
  verify: {
    request: { checkpoint: Checkpoint; background: boolean; bytesPerSecond?: number };
    answer: VerifyResult;
  };
  /** Makes the store's index again where it is missing or broken; null where it is sound. */
  mend: { request: MendRequest; answer: { rebuilt: Rebuilt | null } };
  /** Room on the file system of `path`; null: of the store, with what that occupies. */
  space: { request: { path: string | null }; answer: Space & { usedBytes: number } };
  diff: {
    request: { checkpoint: Checkpoint; to: Checkpoint | null; path: BytePath };
    answer: { changes: Change[] };
  };
  text: {
    request: { checkpoint: Checkpoint; to: Checkpoint | null; path: BytePath };
    answer: TextDiff;
  };
  plan: { request: RestoreJob; answer: Planned };
  apply: {
    request: RestoreJob & { safety: Checkpoint | null; journal: string; startedMs: number };
    answer: Restored;
  };
  /** Lets stopped processes go on after a while, whatever became of observer. */
  thaw: { request: { occupants: Occupant[]; afterMs: number }; answer: { thawed: number } };
}

export type OperationName = keyof Operations;

/** What every operation needs to know. */
export interface HelperContext extends PathRules {
  /** How long to wait for another writer of the store. */
  lockWaitMs: number;
}

export type HelperRequest = {
  [Name in OperationName]: {
    op: Name;
    context: HelperContext;
    request: Operations[Name]["request"];
  };
}[OperationName];

export type HelperAnswer =
  | { ok: true; answer: unknown }
  | { ok: false; error: { code: ErrorCode; message: string; detail: Record<string, unknown> } };

/** A restore that has begun; as long as its file is there, it is not finished. */
export interface Journal {
  checkpointId: string;
  /** Path in the workspace as text is not enough: bytes, see `BytePath`. */
  path: BytePath;
  force: boolean;
  safetyId: string | null;
  startedMs: number;
  /** How often it was rolled forward in vain. */
  attempts: number;
  /** The helper at work; one that outlived its observer is ended before another one takes over. */
  worker?: { pid: number; startTicks: number };
}
