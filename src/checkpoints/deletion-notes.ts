// Which checkpoints are being deleted: a note is on disk before anything of them goes, so that a restart finishes it.

import { closeSync, existsSync, openSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ID_PATTERN } from "../core/ids.ts";
import { ensurePrivate, PRIVATE_FILE } from "./store/layout.ts";
import { syncDirectory } from "./store/packs.ts";

function notesIn(directory: string): string {
  return join(directory, "deletes");
}

/** Durable on return. */
export function noteDeletions(directory: string, ids: string[]): void {
  const notes = notesIn(directory);
  ensurePrivate(notes);
  for (const id of ids) closeSync(openSync(join(notes, id), "w", PRIVATE_FILE));
  syncDirectory(notes);
}

export function hasDeletionNote(directory: string, id: string): boolean {
  return existsSync(join(notesIn(directory), id));
}

export function removeDeletionNote(directory: string, id: string): void {
  rmSync(join(notesIn(directory), id), { force: true });
}

/** Ids of deletions that were begun. */
export function notedDeletions(directory: string): string[] {
  const notes = notesIn(directory);
  return existsSync(notes) ? readdirSync(notes).filter((name) => ID_PATTERN.test(name)) : [];
}
