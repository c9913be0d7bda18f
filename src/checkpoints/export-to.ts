// Restores into an empty directory, in the caller's own process and under its own uid.

import { existsSync, mkdirSync, readdirSync, realpathSync } from "node:fs";
import type { Checkpoint } from "../core/checkpoint.ts";
import { systemClock } from "../core/clock.ts";
import { messageOf, ObserverError } from "../core/errors.ts";
import { applyPlan } from "./apply.ts";
import { insidePath } from "./byte-path.ts";
import { backendNamed, createBackends } from "./catalog.ts";
import { createLiveTree } from "./live-tree.ts";
import { planRestore } from "./plan.ts";
import { EVERYTHING } from "./rules.ts";

export interface ExportRequest {
  /** The data directory's `checkpoints/`, readable by the caller. */
  checkpointsDirectory: string;
  checkpoint: Checkpoint;
  /** A new or empty directory. */
  target: string;
  /** Only this path of the workspace; it keeps its place below `target`. */
  path?: string;
}

/** Throws `conflict` when the target holds anything, `not_found` when the checkpoint does not hold `path`. */
export function exportTo(
  request: ExportRequest,
): Promise<{ files: number; bytes: number; warnings: string[] }> {
  return Promise.try(() => {
    const { checkpoint, target } = request;
    if (existsSync(target) && readdirSync(target).length > 0)
      throw new ObserverError("conflict", `Cannot export to ${target}: it is not empty`);
    const backends = createBackends({
      directory: request.checkpointsDirectory,
      lockWaitMs: 0,
      now: () => systemClock.now(),
    });
    const { tree } = backendNamed(backends, checkpoint.backend).open(checkpoint);
    makeTarget(target);
    const real = realpathSync(target);
    const live = createLiveTree({ path: real, rules: EVERYTHING });
    try {
      const path = insidePath(request.path ?? "");
      const plan = planRestore({
        before: live,
        after: tree,
        path,
        asRoot: process.geteuid?.() === 0,
      });
      if (path !== "" && plan.steps.length === 0)
        throw new ObserverError(
          "not_found",
          `Checkpoint ${checkpoint.id} does not hold ${request.path}`,
        );
      return applyPlan({ target: real, tree, plan });
    } finally {
      live.close();
      tree.close();
    }
  });
}

function makeTarget(target: string): void {
  try {
    mkdirSync(target, { recursive: true, mode: 0o700 });
  } catch (thrown) {
    // The caller's choice of a place, not a fault of observer.
    throw new ObserverError("refused_path", `Cannot export to ${target}: ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
}
