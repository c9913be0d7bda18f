// The store's index: where each blob lies, which checkpoints there are, and what was seen of each file.

import { Database } from "bun:sqlite";
import { chmodSync, existsSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { messageOf, ObserverError } from "../../core/errors.ts";
import { codeOf } from "../live-tree.ts";
import { indexPath, lockPath, packsIn, PRIVATE_FILE } from "./layout.ts";

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
/** What SQLite may keep beside the file; `-wal` and `-shm` of observer 0.1. */
export const INDEX_PARTS = ["-journal", "-wal", "-shm"];
const TABLES = ["packs", "blobs", "checkpoints", "seen"];
/** What SQLite says of a file that is no database of ours, or no longer. */
const BROKEN = /^SQLITE_(CORRUPT|NOTADB)/;

/**
 * How an index is opened. `read` and `write` expect it to be there; `create`, for the holder of the store's lock,
 * makes it where the store is empty.
 */
export type IndexUse = "read" | "write" | "create";

/** Opens the index. Throws `corrupt` with `detail.index` when it is missing or broken: it can be made again. */
export function openIndex(store: string, use: IndexUse): Database {
  if (!existsSync(indexPath(store))) {
    if (use !== "create" || hasPacks(store)) throw brokenIndex("it is missing");
    return createIndex(indexPath(store));
  }
  try {
    const db = use === "read" ? openReadable(store) : openWritable(indexPath(store));
    if (use === "create" && !hasPacks(store)) db.run(SCHEMA);
    // Throws where the tables are not there or not readable.
    for (const table of TABLES) db.query(`SELECT 1 FROM ${table} LIMIT 1`).get();
    return db;
  } catch (error) {
    if (isBrokenIndex(error)) throw brokenIndex(messageOf(error), error);
    throw error;
  }
}

/** A new index with its tables, at any path. What SQLite left of another one there must not be taken for its own. */
export function createIndex(path: string): Database {
  for (const part of INDEX_PARTS) rmSync(path + part, { force: true });
  const db = openWritable(path);
  db.run(SCHEMA);
  return db;
}

/** Nothing is written, except what undoes the commit of a writer that was killed in it. */
function openReadable(store: string): Database {
  const db = new Database(indexPath(store), { readwrite: true, create: false });
  db.run(`PRAGMA busy_timeout = ${BUSY_MS}`);
  return db;
}

function openWritable(path: string): Database {
  const db = new Database(path, { create: true });
  chmodSync(path, PRIVATE_FILE);
  db.run(`PRAGMA busy_timeout = ${BUSY_MS}`);
  // Not a write-ahead log: its shared memory is a mapped file, and on a full disk touching it kills the process
  // (measured: SIGBUS on ext4). A helper opens and closes the index once, so that a log saves no sync either.
  db.run("PRAGMA journal_mode = TRUNCATE");
  // A checkpoint that was reported must be there after a power loss.
  db.run("PRAGMA synchronous = FULL");
  return db;
}

function hasPacks(store: string): boolean {
  return existsSync(packsIn(store)) && readdirSync(packsIn(store)).length > 0;
}

/** Whether the index itself is at fault: broken as a database, or without its tables. */
export function isBrokenIndex(error: unknown): boolean {
  if (error instanceof ObserverError) return error.detail["index"] === true;
  return BROKEN.test(codeOf(error) ?? "") || messageOf(error).startsWith("no such table");
}

function brokenIndex(what: string, cause?: unknown): ObserverError {
  return new ObserverError("corrupt", `The index of the checkpoint store cannot be used: ${what}`, {
    cause,
    detail: { index: true },
  });
}

/**
 * Waits until this process is the store's only writer. SQLite's lock belongs to the open file, so that the
 * kernel gives it back however the process ends. Throws SQLITE_BUSY after `waitMs`.
 */
export function lockStore(store: string, waitMs: number): { release(): void } {
  try {
    return lock(store, waitMs);
  } catch (error) {
    if (!BROKEN.test(codeOf(error) ?? "")) throw error;
    // It holds nothing; emptied in place it is the same file, so that two holders cannot be.
    truncateSync(lockPath(store));
    return lock(store, waitMs);
  }
}

function lock(store: string, waitMs: number): { release(): void } {
  const db = new Database(lockPath(store), { create: true });
  try {
    chmodSync(lockPath(store), PRIVATE_FILE);
    db.run(`PRAGMA busy_timeout = ${Math.round(waitMs)}`);
    db.run("BEGIN EXCLUSIVE");
  } catch (error) {
    db.close();
    throw error;
  }
  return {
    release() {
      db.run("ROLLBACK");
      db.close();
    },
  };
}
