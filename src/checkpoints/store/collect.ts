// Takes back the space of content that no checkpoint needs any more.

import type { Database } from "bun:sqlite";
import { unlinkSync } from "node:fs";
import { codeOf } from "../live-tree.ts";
import { createBlobWriter, createBlobReader, type BlobReader } from "./blobs.ts";
import { packPath } from "./layout.ts";
import { createStoreTree, walkBlobs } from "./store-tree.ts";

/** A pack is rewritten when less than this share of it is still needed. */
const LIVE_SHARE_MIN = 0.5;

export interface Collected {
  blobs: number;
  /** Bytes of packs that were removed, less what was written anew. */
  freedBytes: number;
}

/**
 * Mark and sweep; needs the store's lock. A damaged manifest stops it before anything is removed, because
 * what it needed is then not known. Crash-safe: rows go in one transaction, files only after it.
 */
export function collect(store: string, db: Database): Collected {
  const reader = createBlobReader(store, db);
  const live = new Set<string>();
  try {
    for (const { ref } of db
      .query<{ ref: string }, []>("SELECT DISTINCT ref FROM checkpoints")
      .all())
      mark(reader, ref, live);
  } finally {
    reader.close();
  }
  const dead = db
    .query<{ hash: Uint8Array }, []>("SELECT hash FROM blobs")
    .all()
    .map((row) => row.hash)
    .filter((hash) => !live.has(Buffer.from(hash).toString("hex")));
  if (dead.length > 0)
    db.transaction(() => {
      const remove = db.query("DELETE FROM blobs WHERE hash = ?");
      for (const hash of dead) remove.run(hash);
    }).immediate();
  return { blobs: dead.length, freedBytes: sweepPacks(store, db) };
}

function mark(reader: BlobReader, ref: string, live: Set<string>): void {
  live.add(ref);
  const tree = createStoreTree(reader, ref);
  walkBlobs(
    tree,
    (hash) => {
      if (live.has(hash)) return false;
      live.add(hash);
      return true;
    },
    reader,
  );
}

interface PackUse {
  id: number;
  bytes: number;
  live: number;
}

function sweepPacks(store: string, db: Database): number {
  const packs = db
    .query<PackUse, []>(
      `SELECT p.id, p.bytes, COALESCE(SUM(b.stored), 0) AS live
       FROM packs p LEFT JOIN blobs b ON b.pack = p.id GROUP BY p.id ORDER BY p.id`,
    )
    .all();
  let freed = 0;
  for (const pack of packs) {
    const needed = countIn(db, pack.id) > 0;
    if (needed && (pack.bytes === 0 || pack.live / pack.bytes >= LIVE_SHARE_MIN)) continue;
    if (needed) rewrite(store, db, pack.id);
    db.query("DELETE FROM packs WHERE id = ?").run(pack.id);
    remove(packPath(store, pack.id));
    freed += pack.bytes - pack.live;
  }
  return freed;
}

function countIn(db: Database, pack: number): number {
  const row = db
    .query<{ n: number }, [number]>("SELECT COUNT(*) AS n FROM blobs WHERE pack = ?")
    .get(pack);
  return row?.n ?? 0;
}

/** Moves what is left of a pack to a new one; a blob that is broken stays broken and is dropped with its pack. */
function rewrite(store: string, db: Database, pack: number): void {
  // A new pack: appending to the last one could mean appending to the one that goes.
  db.query("INSERT INTO packs (bytes) VALUES (0)").run();
  const writer = createBlobWriter(store, db);
  try {
    const rows = db
      .query<{ hash: Uint8Array }, [number]>("SELECT hash FROM blobs WHERE pack = ?")
      .all(pack);
    const lost = rows.filter((row) => !writer.move(Buffer.from(row.hash).toString("hex")));
    writer.commit(() => {
      for (const row of lost) db.query("DELETE FROM blobs WHERE hash = ?").run(row.hash);
    });
  } finally {
    writer.close();
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
}
