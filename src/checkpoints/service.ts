// Checkpoints as the rest of observer sees them: rows, one run at a time for each workspace, and recovery.

import { homedir } from "node:os";
import type { CheckpointService } from "../core/checkpoint.ts";
import { ObserverError, type ErrorCode } from "../core/errors.ts";
import { createBackground } from "./background.ts";
import { insidePath } from "./byte-path.ts";
import { createCreator } from "./create.ts";
import { createDeletions, type Deletions } from "./deletions.ts";
import { createHelperRunner } from "./helper-runner.ts";
import { createInUse, whileInUse } from "./in-use.ts";
import { createMendingRunner } from "./mending.ts";
import { createRetention, type Retention } from "./prune.ts";
import { createRecovery } from "./recover.ts";
import { createRestorer } from "./restorer.ts";
import {
  rowOf,
  usableRow,
  type CheckpointDeps,
  type CheckpointOptions,
  type KeepSettings,
  type ServiceParts,
} from "./service-parts.ts";
import { createSingleFlight } from "./single-flight.ts";
import { ensurePrivate } from "./store/layout.ts";
import { createVerdicts } from "./verdicts.ts";
import { refuseText } from "./workspace.ts";

const MIB = 1024 * 1024;
const HOUR_MS = 3_600_000;

const DEFAULTS = {
  // The contract's limit of anything external; a btrfs snapshot takes milliseconds.
  deadlineMs: 10_000,
  // 100,000 files with 2 GB take 12 s the first time on a slow machine; ten times that.
  storeDeadlineMs: 120_000,
  // Writing everything of the largest checkpoint back.
  restoreDeadlineMs: 600_000,
  exclude: [] as string[],
  fileBytesMax: 100 * MIB,
  filesMax: 300_000,
  totalBytesMax: 5 * 1024 * MIB,
  allowAnyPath: [] as string[],
  scrub: { everyMs: 6 * HOUR_MS, bytesPerSecond: 16 * MIB },
};

/** The defaults of `checkpoints.keep_*`. */
const KEEP: KeepSettings = {
  count: 100,
  allMs: HOUR_MS,
  hourlyMs: 24 * HOUR_MS,
  dailyMs: 7 * 24 * HOUR_MS,
  ageMs: 30 * 24 * HOUR_MS,
  safetyMs: 3 * 24 * HOUR_MS,
  storeBytes: 10 * 1024 * MIB,
  keepFreeBytes: 2 * 1024 * MIB,
  keepFreePercent: 5,
};

/** These say that the look was cut short, not what it would have seen. */
const UNSURE: ReadonlySet<ErrorCode> = new Set(["timeout", "busy", "unavailable"]);

export interface RunningCheckpoints extends CheckpointService {
  /** Awaited before observer is ready, and called every minute. */
  recover(): Promise<void>;
  /** Of retention: called every few minutes. */
  retention: Pick<Retention, "round" | "plan">;
  /** Reads one checkpoint back when that is due: called every few minutes. */
  scrub(): Promise<void>;
  /** Ends retention and scrub, so that nobody waits for them. */
  endBackground(): void;
  /** Ends running helpers. */
  stop(): Promise<void>;
}

export function createCheckpointService(
  options: CheckpointOptions,
  deps: CheckpointDeps,
): RunningCheckpoints {
  const settings = { ...DEFAULTS, ...options, keep: { ...KEEP, ...options.keep } };
  ensurePrivate(settings.directory);
  const flight = createSingleFlight();
  const runner = createMendingRunner(
    createHelperRunner({
      command: settings.helperCommand,
      context: {
        directory: settings.directory,
        allowAnyPath: settings.allowAnyPath,
        home: homedir(),
      },
    }),
    { ...deps, directory: settings.directory, deadlineMs: settings.restoreDeadlineMs },
  );
  const parts: ServiceParts = {
    options: settings,
    deps,
    runner,
    background: createBackground(runner),
    exclusive: async (workspace, work) => await flight.run(workspace, work),
    inUse: createInUse(),
    deleting: new Set(),
  };
  const deletions = createDeletions(parts);
  const retention = createRetention(parts, deletions);
  const creator = createCreator(parts, retention);
  const restorer = createRestorer(parts, creator);
  const { verify, scrub } = createVerdicts(parts);
  return {
    create: async (request) => await creator.create(request),
    restore: async (request) => await restorer.restore(request),
    prune: async (request) => await retention.prune(request),
    verify,
    scrub,
    retention,
    ...reading(parts, retention),
    ...keeping(parts, deletions),
    recover: createRecovery(parts, { creator, restorer, deletions, mend: runner.mend }),
    endBackground: () => parts.background.close(),
    async stop() {
      parts.background.close();
      flight.close();
      runner.killAll();
      await flight.idle();
    },
  };
}

function reading(
  parts: ServiceParts,
  retention: Retention,
): Pick<CheckpointService, "diff" | "diffText" | "inspect"> {
  const { runner, options, inUse } = parts;
  return {
    async diff(id, toId, path) {
      const request = {
        checkpoint: usableRow(parts, id),
        to: toId === undefined ? null : usableRow(parts, toId),
        path: insidePath(path ?? ""),
      };
      const ids = toId === undefined ? [id] : [id, toId];
      return await whileInUse(inUse, ids, async () => {
        const { changes } = await runner.run({
          op: "diff",
          request,
          deadlineMs: options.storeDeadlineMs,
        });
        return changes;
      });
    },
    async diffText(id, toId, path) {
      const request = {
        checkpoint: usableRow(parts, id),
        to: toId === undefined ? null : usableRow(parts, toId),
        path: insidePath(path),
      };
      if (request.path === "")
        throw new ObserverError("invalid", "Cannot compare as text: name one file", {
          detail: { field: "path", value: path },
        });
      const ids = toId === undefined ? [id] : [id, toId];
      return await whileInUse(inUse, ids, async () => {
        return await runner.run({ op: "text", request, deadlineMs: options.storeDeadlineMs });
      });
    },
    async inspect(workspace) {
      try {
        refuseText(workspace);
        const { backend, reason, ...found } = await runner.run({
          op: "inspect",
          request: { workspace },
          deadlineMs: options.deadlineMs,
        });
        const known = { path: found.workspace, identity: found.identity, unsure: false };
        const trouble = backend === "store" ? await retention.trouble() : null;
        if (trouble !== null) return { backend: null, reason: trouble, ...known };
        return { backend, reason, ...known };
      } catch (error) {
        if (!(error instanceof ObserverError)) throw error;
        const unsure = UNSURE.has(error.code);
        return { backend: null, reason: error.message, path: null, identity: null, unsure };
      }
    },
  };
}

function keeping(
  parts: ServiceParts,
  deletions: Deletions,
): Pick<CheckpointService, "delete" | "pin"> {
  const { deps, inUse, deleting } = parts;
  return {
    async pin(id, pinned) {
      const row = { ...rowOf(deps.rows, id), pinned };
      if (pinned && deleting.has(id))
        throw new ObserverError("conflict", `Cannot pin checkpoint ${id}: it is being deleted`);
      deps.rows.update(row);
      return row;
    },
    delete: async (id) =>
      await parts.exclusive(rowOf(deps.rows, id).workspace, async () => {
        const row = rowOf(deps.rows, id);
        if (row.status === "deleted") return row;
        if (row.pinned)
          throw new ObserverError("conflict", `Cannot delete checkpoint ${id}: it is pinned`);
        if (inUse.has(id) || row.status === "pending")
          throw new ObserverError("busy", `Cannot delete checkpoint ${id}: it is being worked on`);
        const { deleted } = await deletions.remove([row], { background: false, thorough: false });
        return deleted[0] ?? row;
      }),
  };
}
