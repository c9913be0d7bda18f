// Removes the content of checkpoints so that an interrupted deletion is finished, never half undone.

import type { Checkpoint } from "../core/checkpoint.ts";
import { messageOf } from "../core/errors.ts";
import { hasDeletionNote, notedDeletions, removeDeletionNote } from "./deletion-notes.ts";
import type { ServiceParts } from "./service-parts.ts";

export interface Deletions {
  /** Rows of one backend that nothing else works on. Throws what the helper threw; then `finish` goes on with it. */
  remove(
    rows: Checkpoint[],
    options: { background: boolean; thorough: boolean },
  ): Promise<{ deleted: Checkpoint[]; freedBytes: number }>;
  /** Finishes what was begun, also by an earlier process. Never throws. */
  finish(): Promise<void>;
}

export function createDeletions(parts: ServiceParts): Deletions {
  const { deps, options, deleting } = parts;
  const running = new Set<string>();
  for (const id of notedDeletions(options.directory)) deleting.add(id);

  const remove: Deletions["remove"] = async (rows, { background, thorough }) => {
    const ids = rows.map(({ id }) => id);
    for (const id of ids) {
      deleting.add(id);
      running.add(id);
    }
    try {
      const { warnings, freedBytes } = await (background ? parts.background : parts.runner).run({
        op: "delete",
        request: { checkpoints: rows, background, thorough },
        deadlineMs: options.storeDeadlineMs,
      });
      for (const warning of warnings)
        deps.log.warn("checkpoints deleted", { ids: ids.join(" "), warning });
      deps.metrics.add("observer_checkpoint_freed_bytes_total", freedBytes);
      return { deleted: rows.map((row) => noteDeleted(parts, row, warnings)), freedBytes };
    } finally {
      for (const id of ids) {
        running.delete(id);
        // Without a note nothing was touched, and the checkpoint is what it was.
        if (!hasDeletionNote(options.directory, id)) deleting.delete(id);
      }
    }
  };

  return {
    remove,
    async finish() {
      for (const id of notedDeletions(options.directory)) {
        const row = deps.rows.get(id);
        if (running.has(id) || parts.inUse.has(id)) continue;
        if (!row || row.status === "deleted") {
          removeDeletionNote(options.directory, id);
          deleting.delete(id);
          continue;
        }
        try {
          await remove([row], { background: true, thorough: false });
          deps.log.info("interrupted deletion finished", { id });
        } catch (error) {
          deps.log.warn("interrupted deletion not finished", { id, error: messageOf(error) });
        }
      }
    },
  };
}

/** The row first: a note without need is found out, a checkpoint without content must not be listed. */
function noteDeleted({ deps, options }: ServiceParts, row: Checkpoint, warnings: string[]) {
  const now = deps.rows.get(row.id) ?? row;
  const deleted: Checkpoint = {
    ...now,
    status: "deleted",
    warnings: [...now.warnings, ...warnings],
  };
  deps.rows.update(deleted);
  removeDeletionNote(options.directory, row.id);
  return deleted;
}
