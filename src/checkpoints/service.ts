// Checkpoints as the rest of observer sees them: rows, one run at a time for each workspace, and recovery.

import { homedir } from "node:os";
import type { Checkpoint, CheckpointService } from "../core/checkpoint.ts";
import { ObserverError } from "../core/errors.ts";
import { insidePath } from "./byte-path.ts";
import { createCreator } from "./create.ts";
import { createHelperRunner } from "./helper-runner.ts";
import { createRecovery } from "./recover.ts";
import { createRestorer } from "./restorer.ts";
import {
  rowOf,
  usableRow,
  type CheckpointDeps,
  type CheckpointOptions,
  type ServiceParts,
} from "./service-parts.ts";
import { createSingleFlight } from "./single-flight.ts";
import { ensurePrivate } from "./store/layout.ts";
import { refuseText } from "./workspace.ts";

const MIB = 1024 * 1024;

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
};

/** `recover` is awaited before observer is ready and called every minute; `stop` ends running helpers. */
export function createCheckpointService(
  options: CheckpointOptions,
  deps: CheckpointDeps,
): CheckpointService & { recover(): Promise<void>; stop(): Promise<void> } {
  const settings = { ...DEFAULTS, ...options };
  ensurePrivate(settings.directory);
  const flight = createSingleFlight();
  const runner = createHelperRunner({
    command: settings.helperCommand,
    context: {
      directory: settings.directory,
      allowAnyPath: settings.allowAnyPath,
      home: homedir(),
    },
  });
  const parts: ServiceParts = {
    options: settings,
    deps,
    runner,
    exclusive: async (workspace, work) => await flight.run(workspace, work),
    inUse: new Set(),
  };
  const creator = createCreator(parts);
  const restorer = createRestorer(parts, creator);
  return {
    create: async (request) => await creator.create(request),
    restore: async (request) => await restorer.restore(request),
    ...reading(parts),
    ...keeping(parts),
    recover: createRecovery(parts, { creator, restorer }),
    async stop() {
      flight.close();
      runner.killAll();
      await flight.idle();
    },
  };
}

function reading({
  deps,
  runner,
  options,
}: ServiceParts): Pick<CheckpointService, "diff" | "diffText" | "verify" | "inspect"> {
  const comparison = (id: string, toId: string | undefined, path: string) => ({
    checkpoint: usableRow(deps.rows, id),
    to: toId === undefined ? null : usableRow(deps.rows, toId),
    path: insidePath(path),
  });
  return {
    async diff(id, toId, path) {
      const { changes } = await runner.run({
        op: "diff",
        request: comparison(id, toId, path ?? ""),
        deadlineMs: options.storeDeadlineMs,
      });
      return changes;
    },
    async diffText(id, toId, path) {
      const request = comparison(id, toId, path);
      if (request.path === "")
        throw new ObserverError("invalid", "Cannot compare as text: name one file", {
          detail: { field: "path", value: path },
        });
      return await runner.run({ op: "text", request, deadlineMs: options.storeDeadlineMs });
    },
    verify: async (id) =>
      await runner.run({
        op: "verify",
        request: { checkpoint: usableRow(deps.rows, id) },
        deadlineMs: options.storeDeadlineMs,
      }),
    async inspect(workspace) {
      try {
        refuseText(workspace);
        const { backend, reason } = await runner.run({
          op: "inspect",
          request: { workspace },
          deadlineMs: options.deadlineMs,
        });
        return { backend, reason };
      } catch (error) {
        if (!(error instanceof ObserverError)) throw error;
        return { backend: null, reason: error.message };
      }
    },
  };
}

function keeping(parts: ServiceParts): Pick<CheckpointService, "delete" | "pin"> {
  const { deps, runner, options, inUse } = parts;
  return {
    async pin(id, pinned) {
      const row = { ...rowOf(deps.rows, id), pinned };
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
        const { warnings } = await runner.run({
          op: "delete",
          request: { checkpoint: row },
          deadlineMs: options.storeDeadlineMs,
        });
        for (const warning of warnings) deps.log.warn("checkpoint deleted", { id, warning });
        const deleted: Checkpoint = {
          ...row,
          status: "deleted",
          warnings: [...row.warnings, ...warnings],
        };
        deps.rows.update(deleted);
        return deleted;
      }),
  };
}
