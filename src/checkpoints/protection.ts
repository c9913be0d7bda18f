// Which configured workspaces can be saved, and the first checkpoint of each.

import { realpathSync } from "node:fs";
import type { CheckpointRows, CheckpointService } from "../core/checkpoint.ts";
import { messageOf } from "../core/errors.ts";
import type { Log } from "../telemetry/log.ts";

export interface ProtectionOptions {
  /** Absolute paths, as configured. */
  workspaces: readonly string[];
  /** Whether trouble saves them by itself. */
  armed: boolean;
}

export interface ProtectionDeps {
  service: CheckpointService;
  rows: CheckpointRows;
  log: Log;
}

export interface ProtectedWorkspace {
  path: string;
  /** Null: it cannot be saved, and `reason` says why. */
  backend: string | null;
  reason: string;
}

export function createProtection({ workspaces, armed }: ProtectionOptions, deps: ProtectionDeps) {
  const { service, rows, log } = deps;
  let found: ProtectedWorkspace[] = [];

  const look = async (path: string): Promise<ProtectedWorkspace> => {
    try {
      return { path, ...(await service.inspect(path)) };
    } catch (thrown) {
      return { path, backend: null, reason: messageOf(thrown) };
    }
  };

  const hasCheckpoint = (path: string): boolean =>
    rows.list({ workspace: realPath(path), limit: 1 }).length > 0;

  return {
    current: (): { armed: boolean; workspaces: ProtectedWorkspace[] } => ({
      armed,
      workspaces: found,
    }),
    /** Looks at each workspace anew; one that lost its protection is logged once. */
    async check(): Promise<void> {
      const before = new Map(found.map(({ path, backend }) => [path, backend]));
      found = await Promise.all(workspaces.map(look));
      for (const { path, backend, reason } of found) {
        if (backend === null && before.get(path) !== null) {
          log.warn("workspace cannot be checkpointed", { workspace: path, reason });
        }
      }
    },
    /**
     * Saves each workspace once, so that trouble later costs only the difference. A btrfs snapshot costs the
     * same at any time and needs none.
     */
    async takeBaselines(): Promise<void> {
      if (!armed) return;
      for (const { path, backend } of found) {
        if (backend !== "store") continue;
        try {
          if (hasCheckpoint(path)) continue;
          await service.create({ workspace: path, kind: "baseline", reason: "first sight" });
        } catch (thrown) {
          log.warn("no baseline of workspace", { workspace: path, error: messageOf(thrown) });
        }
      }
    },
  };
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
