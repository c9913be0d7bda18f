// Makes the store's index again from the packs, when it is lost or broken.

import type { Database } from "bun:sqlite";
import { closeSync, existsSync, fstatSync, openSync, renameSync, rmSync } from "node:fs";
import { messageOf } from "../../core/errors.ts";
import type { Saved } from "../backend.ts";
import { createBlobReader } from "./blobs.ts";
import { createIndex, INDEX_PARTS, isBrokenIndex, lockStore, openIndex } from "./index-db.ts";
import { ensureStore, indexPath } from "./layout.ts";
import { decodeManifest } from "./objects.ts";
import { isWhole, readAt, scanPack } from "./pack-format.ts";
import { ASIDE, packFiles, syncDirectory } from "./packs.ts";

/** What observer's own rows know of a checkpoint in the store; the rest is in its manifest. */
export interface KnownCheckpoint {
  id: string;
  workspace: string;
  ref: string;
  identity: string | null;
  verified: boolean;
}

export interface Rebuilt {
  /** What was wrong with the index. */
  reason: string;
  packs: number;
  blobs: number;
  /** Blobs that a pack names and whose bytes are damaged. */
  lost: number;
  checkpoints: number;
  /** Checkpoints whose manifest is lost. */
  unreadable: string[];
  /** Where the broken index lies now; null when there was none. */
  setAside: string | null;
}

export interface MendRequest {
  known: KnownCheckpoint[];
  /** Whether all of the index is checked; else only whether it opens. */
  thorough: boolean;
}

/**
 * Null when the index is sound. Else the broken one is set aside and a new one is made of every blob whose bytes
 * match its hash. The new index appears by a rename: killed before, the next call begins again.
 */
export function mendIndex(store: string, request: MendRequest, waitMs: number): Rebuilt | null {
  if (request.known.length === 0 && !existsSync(store)) return null;
  ensureStore(store);
  const lock = lockStore(store, waitMs);
  try {
    const reason = troubleOf(store, request.thorough);
    return reason === undefined ? null : rebuild(store, { known: request.known, reason });
  } finally {
    lock.release();
  }
}

/** Why the index cannot be used; undefined when it can. */
function troubleOf(store: string, thorough: boolean): string | undefined {
  try {
    const db = openIndex(store, "create");
    try {
      if (!thorough) return undefined;
      const row = db.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get();
      return row?.quick_check === "ok" ? undefined : (row?.quick_check ?? "it cannot be checked");
    } finally {
      db.close();
    }
  } catch (error) {
    if (isBrokenIndex(error)) return messageOf(error);
    throw error;
  }
}

function rebuild(
  store: string,
  { known, reason }: { known: KnownCheckpoint[]; reason: string },
): Rebuilt {
  const setAside = putAside(store);
  const path = `${indexPath(store)}.new`;
  rmSync(path, { force: true });
  const db = createIndex(path);
  const done: Rebuilt = {
    reason,
    packs: 0,
    blobs: 0,
    lost: 0,
    checkpoints: 0,
    unreadable: [],
    setAside,
  };
  try {
    db.transaction(() => {
      for (const file of packFiles(store)) addPack(db, file, done);
    })();
    db.transaction(() => addCheckpoints(store, db, { known, done }))();
  } finally {
    db.close();
  }
  for (const part of INDEX_PARTS) rmSync(path + part, { force: true });
  renameSync(path, indexPath(store));
  syncDirectory(store);
  return done;
}

function putAside(store: string): string | null {
  const path = indexPath(store);
  const there = existsSync(path);
  // The index first: without its journal it could be taken for a sound one.
  if (there) renameSync(path, path + ASIDE);
  for (const part of INDEX_PARTS) {
    rmSync(`${path}${ASIDE}${part}`, { force: true });
    // It belongs to the old index; a new one must not find it.
    if (existsSync(path + part)) renameSync(path + part, `${path}${ASIDE}${part}`);
  }
  return there ? path + ASIDE : null;
}

function addPack(
  db: Database,
  { path, pack }: { path: string; pack: number },
  done: Rebuilt,
): void {
  const insert = db.query(
    "INSERT OR REPLACE INTO blobs (hash, pack, offset, stored, size, codec) VALUES (?, ?, ?, ?, ?, ?)",
  );
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    // Unreadable as a whole: what it held is lost, and the file stays where it is for a person.
    renameSync(path, path + ASIDE);
    return;
  }
  try {
    let end = 0;
    for (const head of scanPack(fd)) {
      end = head.offset + head.stored;
      if (!isWhole(head.hash, head, readAt(fd, head.offset, head.stored))) {
        done.lost += 1;
        continue;
      }
      const { hash, offset, stored, size, codec } = head;
      insert.run(Buffer.from(hash, "hex"), pack, offset, stored, size, codec);
      done.blobs += 1;
    }
    if (end === 0 && fstatSync(fd).size > 0) renameSync(path, path + ASIDE);
    else db.query("INSERT OR REPLACE INTO packs (id, bytes) VALUES (?, ?)").run(pack, end);
    done.packs += 1;
  } finally {
    closeSync(fd);
  }
}

function addCheckpoints(
  store: string,
  db: Database,
  { known, done }: { known: KnownCheckpoint[]; done: Rebuilt },
): void {
  const insert = db.query(
    "INSERT OR REPLACE INTO checkpoints (id, workspace, ref, summary) VALUES (?, ?, ?, ?)",
  );
  const blobs = createBlobReader(store, db);
  try {
    for (const checkpoint of known) {
      const { id, workspace, ref, identity, verified } = checkpoint;
      const saved: Saved = {
        ref,
        identity: identity ?? "",
        files: null,
        bytes: null,
        verified,
        skipped: [],
        warnings: [],
      };
      try {
        const { files, bytes, skipped } = decodeManifest(blobs.read(ref));
        Object.assign(saved, { files, bytes, skipped });
      } catch {
        // It stays listed: `verify` says what is wrong with it.
        done.unreadable.push(id);
      }
      insert.run(id, workspace, ref, JSON.stringify(saved));
      done.checkpoints += 1;
    }
  } finally {
    blobs.close();
  }
}
