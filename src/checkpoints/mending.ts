// Has the store's index made again when it is missing or broken, and then does what could not be done.

import { existsSync } from "node:fs";
import type { CheckpointRows } from "../core/checkpoint.ts";
import { messageOf, ObserverError } from "../core/errors.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { HelperCall, HelperRunner } from "./helper-runner.ts";
import type { OperationName } from "./protocol.ts";
import { storeIn } from "./store/layout.ts";
import type { KnownCheckpoint, Rebuilt } from "./store/rebuild.ts";

export interface MendingRunner extends HelperRunner {
  /** Checks all of the index, and makes it again where that is needed. */
  mend(): Promise<void>;
}

interface MendingDeps {
  rows: CheckpointRows;
  log: Log;
  metrics: Metrics;
  /** The data directory's `checkpoints/`. */
  directory: string;
  /** Every byte of the store is read for it. */
  deadlineMs: number;
}

export function createMendingRunner(runner: HelperRunner, deps: MendingDeps): MendingRunner {
  let mending: Promise<void> | undefined;
  const mend = async (thorough: boolean): Promise<void> => {
    const known = knownCheckpoints(deps.rows);
    // Nothing was ever stored.
    if (known.length === 0 && !existsSync(storeIn(deps.directory))) return;
    const { rebuilt } = await runner.run({
      op: "mend",
      request: { known, thorough },
      deadlineMs: deps.deadlineMs,
    });
    if (rebuilt) report(rebuilt, deps);
  };
  // Several operations may stumble at the same time.
  const joined = async (thorough: boolean): Promise<void> => {
    mending ??= mend(thorough).finally(() => {
      mending = undefined;
    });
    await mending;
  };
  return {
    async run<Name extends OperationName>(call: HelperCall<Name>) {
      try {
        return await runner.run(call);
      } catch (error) {
        if (!(error instanceof ObserverError) || error.detail["index"] !== true) throw error;
        deps.log.error("index of the checkpoint store cannot be used", { error: messageOf(error) });
        await joined(false);
        return await runner.run(call);
      }
    },
    killAll: () => runner.killAll(),
    mend: async () => await joined(true),
  };
}

function knownCheckpoints(rows: CheckpointRows): KnownCheckpoint[] {
  return rows
    .list({ status: ["ok", "partial"], limit: Number.MAX_SAFE_INTEGER })
    .flatMap(({ id, workspace, backend, ref, identity, verified }) =>
      backend === "store" && ref !== null ? [{ id, workspace, ref, identity, verified }] : [],
    );
}

function report(rebuilt: Rebuilt, { log, metrics }: MendingDeps): void {
  metrics.add("observer_checkpoint_index_rebuilds_total");
  metrics.add("observer_checkpoint_blobs_lost_total", rebuilt.lost);
  const { reason, packs, blobs, lost, checkpoints, unreadable, setAside } = rebuilt;
  log.error("index of the checkpoint store was made again from its packs", {
    reason,
    packs,
    blobs,
    lost,
    checkpoints,
    unreadable: unreadable.length,
    set_aside: setAside,
  });
}
