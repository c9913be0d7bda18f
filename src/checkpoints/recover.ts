// Finds out what became of checkpoints and restores whose outcome was lost.

import { existsSync, readFileSync } from "node:fs";
import type { Checkpoint } from "../core/checkpoint.ts";
import { messageOf, ObserverError } from "../core/errors.ts";
import { helperNote, type Creator } from "./create.ts";
import type { Deletions } from "./deletions.ts";
import { giveUpJournal, openJournals, removeUnfinished, writeJournal } from "./journal.ts";
import { startTicksOf } from "./occupants.ts";
import { killGroup } from "./helper-runner.ts";
import type { Journal } from "./protocol.ts";
import type { Restorer } from "./restorer.ts";
import type { ServiceParts } from "./service-parts.ts";

/** Rolling forward is tried this often; then a person must look. */
const ATTEMPTS_MAX = 3;

/** Never throws: what cannot be recovered is logged and tried again with the next call. */
export function createRecovery(
  parts: ServiceParts,
  {
    creator,
    restorer,
    deletions,
    mend,
  }: {
    creator: Creator;
    restorer: Restorer;
    deletions: Deletions;
    /** Checks the store's index; once is enough, a broken one is noticed when it is used. */
    mend: () => Promise<void>;
  },
): () => Promise<void> {
  let running: Promise<void> | undefined;
  let checked = false;
  const recover = async (): Promise<void> => {
    try {
      if (!checked) await mend();
      checked = true;
    } catch (error) {
      parts.deps.log.error("index of the checkpoint store was not checked", {
        error: messageOf(error),
      });
    }
    await deletions.finish();
    await reconcileAll(parts, creator);
    await rollAllForward(parts, restorer);
  };
  return async () => {
    // The owner calls every minute, and one call may take longer than that.
    running ??= recover().finally(() => {
      running = undefined;
    });
    await running;
  };
}

async function reconcileAll(parts: ServiceParts, creator: Creator): Promise<void> {
  const { rows, log } = parts.deps;
  for (const row of rows.list({ status: ["pending", "unknown"] })) {
    if (parts.inUse.has(row.id)) continue;
    try {
      await parts.exclusive(row.workspace, async () => await reconcile(parts, creator, row));
    } catch (error) {
      log.warn("checkpoint not reconciled", { id: row.id, error: messageOf(error) });
    }
  }
}

async function reconcile(parts: ServiceParts, creator: Creator, row: Checkpoint): Promise<void> {
  const { rows, log } = parts.deps;
  if (helperLives(parts.options.directory, row.id)) {
    if (row.status === "pending") rows.update({ ...row, status: "unknown" });
    return;
  }
  const outcome = await settled(parts, creator, row);
  rows.update(outcome);
  log.info("checkpoint reconciled", { id: row.id, status: outcome.status });
}

async function settled(
  parts: ServiceParts,
  creator: Creator,
  row: Checkpoint,
): Promise<Checkpoint> {
  try {
    const { saved } = await parts.runner.run({
      op: "exists",
      request: { checkpoint: row },
      deadlineMs: parts.options.storeDeadlineMs,
    });
    if (saved) return creator.settle(row, saved);
    return { ...row, status: "failed", error: row.error ?? "observer ended while it was taken" };
  } catch (error) {
    if (error instanceof ObserverError && error.code === "corrupt")
      return { ...row, status: "failed", error: error.message };
    throw error;
  }
}

function helperLives(directory: string, id: string): boolean {
  try {
    const note = JSON.parse(readFileSync(helperNote(directory, id), "utf8")) as {
      pid: number;
      startTicks: number;
    };
    return startTicksOf(note.pid) === note.startTicks;
  } catch {
    // No note: it never started, or ended under our eyes.
    return false;
  }
}

/** A killed process is gone within this time, unless the kernel waits for a disk. */
const GONE_MS = 5_000;
const GONE_LOOK_MS = 20;

/** Ends the helper of an observer that is no more: two must not work on one restore. False when it will not go. */
async function endedWorker({ worker }: Journal): Promise<boolean> {
  if (!worker || worker.pid === process.pid) return true;
  const lives = (): boolean => startTicksOf(worker.pid) === worker.startTicks;
  for (let waitedMs = 0; lives(); waitedMs += GONE_LOOK_MS) {
    if (waitedMs > GONE_MS) return false;
    killGroup(worker.pid);
    await Bun.sleep(GONE_LOOK_MS);
  }
  return true;
}

async function rollAllForward(parts: ServiceParts, restorer: Restorer): Promise<void> {
  const { log } = parts.deps;
  removeUnfinished(parts.options.directory, parts.inUse);
  const onDamaged = (path: string, error: unknown): void =>
    parts.deps.log.error("journal of a restore cannot be read and is set aside", {
      path,
      error: messageOf(error),
    });
  for (const { path, journal } of openJournals(parts.options.directory, onDamaged)) {
    // A restore of this process is still at it.
    if (parts.inUse.has(journal.checkpointId)) continue;
    if (journal.attempts >= ATTEMPTS_MAX) {
      giveUpJournal(path);
      log.error("interrupted restore given up", {
        checkpoint: journal.checkpointId,
        safety: journal.safetyId,
      });
      continue;
    }
    if (!(await endedWorker(journal))) {
      log.warn("interrupted restore is still being worked on", {
        checkpoint: journal.checkpointId,
      });
      continue;
    }
    // It may have been finished in the meantime.
    if (!existsSync(path)) continue;
    writeJournal(path, { ...journal, attempts: journal.attempts + 1 });
    try {
      const { safety_id } = await restorer.rollForward({
        id: journal.checkpointId,
        path: journal.path,
        journal: path,
      });
      log.warn("interrupted restore finished", {
        checkpoint: journal.checkpointId,
        safety: safety_id ?? journal.safetyId,
      });
    } catch (error) {
      log.error("interrupted restore not finished", {
        checkpoint: journal.checkpointId,
        error: messageOf(error),
      });
    }
  }
}
