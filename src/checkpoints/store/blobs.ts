// Content-addressed blobs: the index says where, the packs hold the bytes, every read is checked against the hash.

import type { Database, Statement } from "bun:sqlite";
import { closeSync, openSync } from "node:fs";
import { ObserverError } from "../../core/errors.ts";
import { codeOf } from "../live-tree.ts";
import { packPath } from "./layout.ts";
import { isWhole, RAW, readAt, unpack, ZSTD } from "./pack-format.ts";
import { createPacker } from "./packs.ts";

/** Committed at this much new content, so that a killed first checkpoint does not begin again at zero. */
const COMMIT_BYTES = 256 * 1024 * 1024;
/** Level 1 compresses nearly as well as 3 here and costs the least. */
const ZSTD_LEVEL = 1;

interface BlobRow {
  pack: number;
  offset: number;
  stored: number;
  size: number;
  codec: number;
}

export interface BlobReader {
  /** Where the blob lies and its bytes as stored, unchecked; undefined when they are not all there. */
  stored(hash: string): { row: BlobRow; data: Buffer } | undefined;
  /** False also for a blob that a verification found broken: it is stored anew when it comes again. */
  has(hash: string): boolean;
  /** The blob's bytes, proven by their hash. Throws `corrupt`. */
  read(hash: string): Buffer;
  close(): void;
}

export interface BlobWriter extends BlobReader {
  /** Stores the bytes unless they are known; returns their SHA-256 in hex. */
  put(bytes: Uint8Array): string;
  /** Copies a blob as it is into the newest pack. `broken`: its bytes are damaged; `gone`: its pack ends before them. */
  move(hash: string): "sound" | "broken" | "gone";
  /** Makes everything put so far durable and known. `inside` runs in the same transaction. */
  commit(inside?: () => void): void;
  /** Hashes that this writer added, committed or not. */
  readonly added: string[];
  readonly addedBytes: number;
}

export function sha256(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

export function createBlobReader(store: string, db: Database): BlobReader {
  const find = db.query<BlobRow, [Buffer]>(
    "SELECT pack, offset, stored, size, codec FROM blobs WHERE hash = ?",
  );
  const sound = db.query<{ hash: Buffer }, [Buffer]>(
    "SELECT hash FROM blobs WHERE hash = ? AND bad = 0",
  );
  const packs = new Map<number, number>();
  const open = (pack: number): number => {
    let fd = packs.get(pack);
    if (fd === undefined) packs.set(pack, (fd = openSync(packPath(store, pack), "r")));
    return fd;
  };
  return {
    has: (hash) => sound.get(key(hash)) !== null,
    stored(hash) {
      const row = find.get(key(hash));
      if (!row) return undefined;
      try {
        const data = readAt(open(row.pack), row.offset, row.stored);
        return data.length === row.stored ? { row, data } : undefined;
      } catch (error) {
        // Any other trouble may pass: what it hits must not be taken for lost.
        if (codeOf(error) === "ENOENT") return undefined;
        throw error;
      }
    },
    read(hash) {
      for (let attempt = 0; ; attempt += 1) {
        const row = find.get(key(hash));
        if (!row) throw new ObserverError("corrupt", `Content ${hash} is missing from the store`);
        try {
          return unpack(hash, row, readAt(open(row.pack), row.offset, row.stored));
        } catch (error) {
          // The collector moved it to another pack between the two looks.
          if (codeOf(error) === "ENOENT" && attempt === 0) continue;
          if (error instanceof ObserverError) throw error;
          throw new ObserverError("corrupt", `Cannot read content ${hash}`, { cause: error });
        }
      }
    },
    close() {
      for (const fd of packs.values()) closeSync(fd);
      packs.clear();
    },
  };
}

function key(hash: string): Buffer {
  return Buffer.from(hash, "hex");
}

/** Needs the store's lock. `keepFreeBytes`: see `createPacker`. */
export function createBlobWriter(store: string, db: Database, keepFreeBytes = 0): BlobWriter {
  const packer = createPacker(store, db, keepFreeBytes);
  const reader = createBlobReader(store, db);
  const pending = new Map<string, BlobRow>();
  const added: string[] = [];
  let addedBytes = 0;
  let uncommitted = 0;
  const commit = (inside?: () => void): void => {
    packer.sync();
    db.transaction(() => {
      insertBlobs(db, pending);
      packer.record();
      inside?.();
    }).immediate();
    pending.clear();
    uncommitted = 0;
  };
  return {
    ...reader,
    has: (hash) => pending.has(hash) || reader.has(hash),
    put(bytes) {
      const hash = sha256(bytes);
      if (pending.has(hash) || reader.has(hash)) return hash;
      const { data, codec } = packed(bytes);
      const head = { stored: data.length, size: bytes.length, codec };
      pending.set(hash, { ...head, ...packer.append({ hash, ...head }, data) });
      added.push(hash);
      addedBytes += data.length;
      uncommitted += data.length;
      if (uncommitted >= COMMIT_BYTES) commit();
      return hash;
    },
    move(hash) {
      const found = reader.stored(hash);
      if (!found) return "gone";
      const { row, data } = found;
      pending.set(hash, { ...row, ...packer.append({ hash, ...row }, data) });
      return isWhole(hash, row, data) ? "sound" : "broken";
    },
    commit,
    added,
    get addedBytes() {
      return addedBytes;
    },
    close() {
      packer.close();
      reader.close();
    },
  };
}

function packed(bytes: Uint8Array): { data: Uint8Array; codec: number } {
  const small = bytes.length > 0 ? Bun.zstdCompressSync(bytes, { level: ZSTD_LEVEL }) : bytes;
  return small.length < bytes.length ? { data: small, codec: ZSTD } : { data: bytes, codec: RAW };
}

function insertBlobs(db: Database, pending: Map<string, BlobRow>): void {
  const insert: Statement = db.query(
    "INSERT OR REPLACE INTO blobs (hash, pack, offset, stored, size, codec) VALUES (?, ?, ?, ?, ?, ?)",
  );
  for (const [hash, row] of pending)
    insert.run(key(hash), row.pack, row.offset, row.stored, row.size, row.codec);
}
