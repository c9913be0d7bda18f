// The store's index: where each blob lies, which checkpoints there are, and what was seen of each file.

import { Database } from "bun:sqlite";
import { chmodSync } from "node:fs";
import { indexPath, lockPath, PRIVATE_FILE } from "./layout.ts";

const SCHEMA = `
CREATE TABLE IF NOT EXISTS packs (id INTEGER PRIMARY KEY AUTOINCREMENT, bytes INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS blobs (
  hash BLOB PRIMARY KEY, pack INTEGER NOT NULL, offset INTEGER NOT NULL,
  stored INTEGER NOT NULL, size INTEGER NOT NULL, codec INTEGER NOT NULL,
  bad INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS blobs_pack ON blobs (pack);
CREATE TABLE IF NOT EXISTS checkpoints (
  id TEXT PRIMARY KEY, workspace TEXT NOT NULL, ref TEXT NOT NULL, summary TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (
  workspace TEXT NOT NULL, directory TEXT NOT NULL, files TEXT NOT NULL,
  PRIMARY KEY (workspace, directory)
) WITHOUT ROWID;
PRAGMA user_version = 1;
`;

/** Readers and the one writer share the index; a commit takes milliseconds. */
const BUSY_MS = 10_000;

/** Opens the index, for writing unless `readonly`. Throws when it is missing or broken. */
export function openIndex(store: string, options: { readonly: boolean }): Database {
  if (options.readonly) {
    const db = new Database(indexPath(store), { readonly: true });
    db.run(`PRAGMA busy_timeout = ${BUSY_MS}`);
    return db;
  }
  const db = new Database(indexPath(store), { create: true });
  chmodSync(indexPath(store), PRIVATE_FILE);
  db.run(`PRAGMA busy_timeout = ${BUSY_MS}`);
  db.run("PRAGMA journal_mode = WAL");
  // A checkpoint that was reported must be there after a power loss.
  db.run("PRAGMA synchronous = FULL");
  db.run(SCHEMA);
  return db;
}

/**
 * Waits until this process is the store's only writer. SQLite's lock belongs to the open file, so that the
 * kernel gives it back however the process ends. Throws SQLITE_BUSY after `waitMs`.
 */
export function lockStore(store: string, waitMs: number): { release(): void } {
  const db = new Database(lockPath(store), { create: true });
  chmodSync(lockPath(store), PRIVATE_FILE);
  db.run(`PRAGMA busy_timeout = ${Math.round(waitMs)}`);
  db.run("BEGIN EXCLUSIVE");
  return {
    release() {
      db.run("ROLLBACK");
      db.close();
    },
  };
}
