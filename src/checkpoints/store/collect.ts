// Takes back the space of content that no checkpoint needs any more.

import type { Database } from "bun:sqlite";
import { closeSync, fdatasyncSync, fstatSync, openSync, unlinkSync } from "node:fs";
import { ObserverError } from "../../core/errors.ts";
import { punchHole } from "../../kernel/punch-hole.ts";
import { codeOf } from "../live-tree.ts";
import { usedBytes } from "../space.ts";
import { createBlobWriter, createBlobReader, type BlobReader, type BlobWriter } from "./blobs.ts";
import { packPath } from "./layout.ts";
import { HEAD_BYTES, PACK_START } from "./pack-format.ts";
import { dropLeftovers } from "./packs.ts";
import { isNoSpace } from "./reserve.ts";
import { createStoreTree, walkBlobs } from "./store-tree.ts";

/** A pack is rewritten when less than this share of it is still needed; more where room is short. */
const LIVE_SHARE_MIN = 0.5;
const LIVE_SHARE_MIN_THOROUGH = 0.9;
/** Rows of one transaction: each may touch a page of its own, and a full disk has room for few (see reserve.ts). */
const ROWS_AT_ONCE = 250;
/** Holes smaller than a page free nothing. */
const HOLE_BYTES_MIN = 4_096;

export interface Collected {
  blobs: number;
  /** What the store occupies less than before. */
  freedBytes: number;
}

/**
 * Mark and sweep; needs the store's lock. A damaged manifest stops it before anything is removed, because
 * what it needed is then not known. Crash-safe: rows go first and are durable before a file goes, and what is left
 * over is found by the next one. What needs no space comes first, so that it works on a full disk.
 * `thorough`: for the sake of room more is rewritten.
 */
export function collect(store: string, db: Database, thorough = false): Collected {
  const usedBefore = usedBytes(store);
  const live = marked(store, db);
  dropLeftovers(store, db);
  const dead = db
    .query<{ hash: Uint8Array }, []>("SELECT hash FROM blobs ORDER BY hash")
    .all()
    .map((row) => row.hash)
    .filter((hash) => !live.has(Buffer.from(hash).toString("hex")));
  const remove = db.query("DELETE FROM blobs WHERE hash = ?");
  for (let at = 0; at < dead.length; at += ROWS_AT_ONCE)
    db.transaction(() => {
      for (const hash of dead.slice(at, at + ROWS_AT_ONCE)) remove.run(hash);
    }).immediate();
  const liveShareMin = thorough ? LIVE_SHARE_MIN_THOROUGH : LIVE_SHARE_MIN;
  sweepPacks(store, db, liveShareMin);
  return { blobs: dead.length, freedBytes: Math.max(0, usedBefore - usedBytes(store)) };
}

/** Hashes of everything that a checkpoint needs. */
function marked(store: string, db: Database): Set<string> {
  const reader = createBlobReader(store, db);
  const live = new Set<string>();
  try {
    for (const { id, ref } of db
      .query<{ id: string; ref: string }, []>("SELECT id, ref FROM checkpoints GROUP BY ref")
      .all())
      mark(reader, { id, ref }, live);
  } finally {
    reader.close();
  }
  return live;
}

function mark(reader: BlobReader, { id, ref }: { id: string; ref: string }, live: Set<string>) {
  try {
    live.add(ref);
    walkBlobs(
      createStoreTree(reader, ref),
      (hash) => {
        if (live.has(hash)) return false;
        live.add(hash);
        return true;
      },
      reader,
    );
  } catch (error) {
    if (!(error instanceof ObserverError) || error.code !== "corrupt") throw error;
    throw new ObserverError(
      "corrupt",
      `checkpoint ${id} is damaged, so it is not known what it needs: ${error.message}`,
      { cause: error, detail: { checkpoint: id } },
    );
  }
}

interface PackUse {
  id: number;
  bytes: number;
  /** Bytes and number of the blobs that are still needed. */
  live: number;
  blobs: number;
}

function sweepPacks(store: string, db: Database, liveShareMin: number): void {
  const packs = db
    .query<PackUse, []>(
      `SELECT p.id, p.bytes, COALESCE(SUM(b.stored), 0) AS live, COUNT(b.hash) AS blobs
       FROM packs p LEFT JOIN blobs b ON b.pack = p.id GROUP BY p.id ORDER BY live`,
    )
    .all();
  for (const { id, blobs } of packs) if (blobs === 0) removePack(store, db, id);
  const thin = packs.filter(
    ({ blobs, bytes, live }) => blobs > 0 && bytes > 0 && live / bytes < liveShareMin,
  );
  const left = new Set(thin.map(({ id }) => id));
  if (left.size === 0) return;
  try {
    rewriteAll(store, db, left);
  } catch (error) {
    if (!isNoSpace(error)) throw error;
    dropLeftovers(store, db);
    // No room for a copy of what is still needed: then what is not is cut out of the packs where they lie.
    for (const pack of left) punchDead(store, db, pack);
  }
}

/** A pack is done, and taken from `packs`, when all of it that is needed lies durably in another one. */
function rewriteAll(store: string, db: Database, packs: Set<number>): void {
  // A new pack: appending to the last one could mean appending to one that goes.
  db.query("INSERT INTO packs (bytes) VALUES (0)").run();
  const writer = createBlobWriter(store, db);
  try {
    for (const pack of packs) {
      rewrite(db, writer, pack);
      removePack(store, db, pack);
      packs.delete(pack);
    }
  } finally {
    writer.close();
  }
}

/** Gives back what lies between the blobs that are still needed. */
function punchDead(store: string, db: Database, pack: number): void {
  const rows = db
    .query<{ offset: number; stored: number }, [number]>(
      "SELECT offset, stored FROM blobs WHERE pack = ? ORDER BY offset",
    )
    .all(pack);
  const fd = openSync(packPath(store, pack), "r+");
  try {
    let at = PACK_START.length;
    const end = { offset: fstatSync(fd).size + HEAD_BYTES, stored: 0 };
    for (const { offset, stored } of [...rows, end]) {
      const gap = offset - HEAD_BYTES - at;
      if (gap >= HOLE_BYTES_MIN && !punchHole(fd, at, gap)) break;
      at = offset + stored;
    }
    fdatasyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Moves what is left of a pack; a blob that is broken stays so and is not trusted, one that is not there is forgotten. */
function rewrite(db: Database, writer: BlobWriter, pack: number): void {
  const rows = db
    .query<{ hash: Uint8Array }, [number]>("SELECT hash FROM blobs WHERE pack = ?")
    .all(pack);
  const moved = rows.map((row) => ({
    ...row,
    as: writer.move(Buffer.from(row.hash).toString("hex")),
  }));
  writer.commit(() => {
    for (const { hash, as } of moved) {
      if (as === "gone") db.query("DELETE FROM blobs WHERE hash = ?").run(hash);
      if (as === "broken") db.query("UPDATE blobs SET bad = 1 WHERE hash = ?").run(hash);
    }
  });
}

function removePack(store: string, db: Database, pack: number): void {
  db.query("DELETE FROM packs WHERE id = ?").run(pack);
  try {
    unlinkSync(packPath(store, pack));
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
}
