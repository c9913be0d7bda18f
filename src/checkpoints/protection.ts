// Which configured workspaces can be saved, what became of those that could be, and the first checkpoint of each.

import { readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CheckpointRows, CheckpointService, Inspected } from "../core/checkpoint.ts";
import { messageOf } from "../core/errors.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { isSameDirectory, judgeProtection, type Remembered } from "./protection-judge.ts";
import { PRIVATE_FILE } from "./store/layout.ts";

export interface ProtectionOptions {
  /** Absolute paths, as configured. */
  workspaces: readonly string[];
  /** Whether trouble saves them by itself. */
  armed: boolean;
  /** The data directory's `checkpoints/`, where what was last known of them is kept. */
  directory: string;
}

// An alias, not an interface: only those fit a record of any fields.
export type ProtectionNote = {
  note: "protection_lost" | "protection_back";
  workspace: string;
  reason: string;
};

export interface ProtectionDeps {
  service: CheckpointService;
  rows: CheckpointRows;
  log: Log;
  metrics: Metrics;
  /** Tells the record; `protection_lost` becomes an interruption. False when it could not be stored. */
  tell(note: ProtectionNote): Promise<boolean>;
  /** Ends the interruption that tells of this workspace, if one is open. */
  resolve(workspace: string): Promise<void> | void;
}

export interface ProtectedWorkspace {
  path: string;
  /** Null: it cannot be saved, and `reason` says why. */
  backend: string | null;
  reason: string;
}

/** What this process saw and did; `memory` outlives it. */
interface State {
  memory: Map<string, Remembered>;
  /** Of the directory that each path leads to now. */
  identities: Map<string, string | null>;
  /** Directories of which a first checkpoint was tried: one that fails is not tried every minute. */
  tried: Set<string>;
  found: ProtectedWorkspace[];
}

export function createProtection(options: ProtectionOptions, deps: ProtectionDeps) {
  const state: State = {
    memory: new Map(Object.entries(remembered(options.directory))),
    identities: new Map(),
    tried: new Set(),
    found: [],
  };
  const check = async (): Promise<void> => {
    const before = JSON.stringify([...state.memory]);
    state.found = await Promise.all(
      options.workspaces.map(async (path) => await look(state, deps, path)),
    );
    const unprotected = state.found.filter(({ backend }) => backend === null).length;
    deps.metrics.set("observer_workspaces_unprotected", unprotected);
    if (JSON.stringify([...state.memory]) !== before)
      remember(options.directory, state.memory, deps.log);
  };
  const takeBaselines = async (): Promise<void> => {
    if (!options.armed) return;
    for (const workspace of state.found) await takeBaseline(state, deps, workspace);
  };
  return {
    current: (): { armed: boolean; workspaces: ProtectedWorkspace[] } => ({
      armed: options.armed,
      workspaces: state.found,
    }),
    /** Looks at each workspace anew; one that lost its protection, or has it back, is told once. */
    check,
    /** Saves each workspace once, so that trouble later costs only the difference. */
    takeBaselines,
    /** Both, as is done every minute: what came anew is saved too. A first checkpoint may take minutes, so it is not waited for. */
    async round(): Promise<void> {
      await check();
      void takeBaselines();
    },
  };
}

async function look(
  { memory, identities }: State,
  deps: ProtectionDeps,
  workspace: string,
): Promise<ProtectedWorkspace> {
  const seen = await inspected(deps, workspace);
  identities.set(workspace, seen.identity);
  const { now, told } = judgeProtection(memory.get(workspace), seen, {
    isSaved: seen.identity !== null && isSaved(deps, workspace, seen.identity),
  });
  const shown = { path: workspace, backend: seen.backend, reason: seen.reason };
  const fields = { workspace, reason: now.lost ?? seen.reason };
  // Never protectable is a matter of configuration, which is shown; only a loss is trouble.
  const trouble = told !== null && told !== "never_protected";
  // What could not be stored is told again with the next look.
  if (trouble && !(await deps.tell({ note: told, ...fields }))) return shown;
  memory.set(workspace, now);
  if (told === "protection_back") {
    await deps.resolve(workspace);
    deps.log.info("workspace can be checkpointed again", fields);
  } else if (told !== null) deps.log.warn("workspace cannot be checkpointed", fields);
  return shown;
}

async function inspected({ service }: ProtectionDeps, path: string): Promise<Inspected> {
  try {
    return await service.inspect(path);
  } catch (thrown) {
    const reason = messageOf(thrown);
    return { backend: null, reason, path: null, identity: null, unsure: true };
  }
}

/** Whether this very directory is saved: a checkpoint of one that was at its place before does not count. */
function isSaved({ rows }: ProtectionDeps, path: string, identity: string | null): boolean {
  return rows
    .list({ workspace: realPath(path), status: ["ok", "partial"], limit: LOOKED_AT_MAX })
    .some((row) => identity === null || isSameDirectory(identity, row.identity));
}

/** A btrfs snapshot costs the same at any time and needs none, unless another directory took the saved one's place. */
async function takeBaseline(
  { memory, identities, tried }: State,
  deps: ProtectionDeps,
  { path, backend }: ProtectedWorkspace,
): Promise<void> {
  const lost = memory.get(path)?.lost ?? null;
  const identity = identities.get(path) ?? null;
  const key = JSON.stringify([path, identity]);
  if (backend === null || (backend !== "store" && lost === null) || tried.has(key)) return;
  tried.add(key);
  try {
    if (isSaved(deps, path, identity)) return;
    await deps.service.create({ workspace: path, kind: "baseline", reason: "first sight" });
  } catch (thrown) {
    deps.log.warn("no baseline of workspace", { workspace: path, error: messageOf(thrown) });
  }
}

/** Rows that are looked at for one of this directory. */
const LOOKED_AT_MAX = 100;

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function memoryPath(directory: string): string {
  return join(directory, "protection.json");
}

/** What was last known, also before a restart: a loss is told once. */
function remembered(directory: string): Record<string, Remembered> {
  try {
    return JSON.parse(readFileSync(memoryPath(directory), "utf8")) as Record<string, Remembered>;
  } catch {
    // The first start, or half written on a full disk: then it is learned anew.
    return {};
  }
}

function remember(directory: string, memory: Map<string, Remembered>, log: Log): void {
  try {
    writeFileSync(memoryPath(directory), JSON.stringify(Object.fromEntries(memory)), {
      mode: PRIVATE_FILE,
    });
  } catch (error) {
    log.warn("protection not noted", { error: messageOf(error) });
  }
}
