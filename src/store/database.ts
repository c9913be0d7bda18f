// Opens the one database file: pragmas in their order, migrations, and the lock that keeps a second daemon out.

import { Database, type SQLQueryBindings, type Statement } from "bun:sqlite";
import { chmodSync, closeSync, existsSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { messageOf, ObserverError } from "../core/errors.ts";
import { migrate } from "./migrations.ts";

export interface DatabaseOptions {
  /** Data directory; made with mode 0700 when missing. */
  directory: string;
  /** `full`: callers are answered after a sync, see wal-sync.ts. `normal`: the log is synced by its checkpoints. */
  durability: "full" | "normal";
}

/** The one file, in the data directory. */
export const DATABASE_NAME = "observer.db";
/** Measured: 8 KiB pages take inserts about a fifth faster than 4 KiB and make the file smaller. */
const PAGE_BYTES = 8192;
/** Pages in the write-ahead log before SQLite folds them into the file: 32 MiB at 8 KiB. */
const CHECKPOINT_PAGES = 4096;
/** Events hold what agents read and wrote; the data directory may have been made by somebody else, open to all. */
const PRIVATE_MODE = 0o600;

/** Statements are named columns in, so that a row object can be bound as it is. */
export type Row = Record<string, SQLQueryBindings>;

export function openDatabase(options: DatabaseOptions): Database {
  mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  const path = join(options.directory, DATABASE_NAME);
  makePrivate(path);
  // What an earlier version or another umask left open; SQLite itself gives new ones the mode of the file.
  for (const suffix of ["-wal", "-shm"])
    if (existsSync(path + suffix)) chmodSync(path + suffix, PRIVATE_MODE);
  const database = new Database(path, { create: true, strict: true });
  // page_size and auto_vacuum hold only when they come before the first table; WAL before synchronous.
  database.run(`PRAGMA page_size = ${PAGE_BYTES}`);
  database.run("PRAGMA auto_vacuum = INCREMENTAL");
  database.run("PRAGMA journal_mode = WAL");
  // What `full` adds to it is done in wal-sync.ts, off the event loop.
  database.run("PRAGMA synchronous = NORMAL");
  // A reader from outside may hold a lock for a moment; longer would freeze the event loop.
  database.run("PRAGMA busy_timeout = 250");
  database.run(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
  database.run("PRAGMA foreign_keys = OFF");
  migrate(database);
  return database;
}

/** SQLite gives the log and the index beside a file the mode that the file has when they are made. */
function makePrivate(path: string): void {
  closeSync(openSync(path, "a", PRIVATE_MODE));
  chmodSync(path, PRIVATE_MODE);
}

/**
 * Holds the data directory for this process until it ends, however it ends: the lock is SQLite's own file
 * lock, which the kernel drops with the process.
 * @throws ObserverError `occupied` when another observer holds it, `failed` when it cannot be written.
 */
export function lockDirectory(directory: string): () => void {
  const path = join(directory, "observer.lock");
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    makePrivate(path);
  } catch (cause) {
    throw new ObserverError(
      "failed",
      `Cannot use data directory "${directory}": ${messageOf(cause)}; choose one with --data`,
      { cause },
    );
  }
  const lock = new Database(path, { create: true });
  try {
    lock.run("PRAGMA busy_timeout = 0");
    lock.run("PRAGMA journal_mode = DELETE");
    lock.run("BEGIN EXCLUSIVE");
  } catch (cause) {
    lock.close();
    throw new ObserverError(
      "occupied",
      `Cannot use data directory "${directory}": another observer is running on it`,
      { cause },
    );
  }
  return () => lock.close();
}

/** `INSERT INTO table (a, b) VALUES ($a, $b)`, optionally replacing what a unique column already holds. */
export function insertStatement(
  database: Database,
  table: string,
  columns: readonly string[],
): Statement {
  const names = columns.join(", ");
  const values = columns.map((column) => `$${column}`).join(", ");
  return database.prepare(`INSERT INTO ${table} (${names}) VALUES (${values})`);
}

/** `UPDATE table SET a = $a, b = $b WHERE id = $id`. */
export function updateStatement(
  database: Database,
  table: string,
  columns: readonly string[],
): Statement {
  const sets = columns
    .filter((column) => column !== "id")
    .map((column) => `${column} = $${column}`);
  return database.prepare(`UPDATE ${table} SET ${sets.join(", ")} WHERE id = $id`);
}
