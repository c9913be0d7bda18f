// Content-addressed blobs: the index says where, the packs hold the bytes, every read is checked against the hash.

import type { Database, Statement } from "bun:sqlite";
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { ObserverError } from "../../core/errors.ts";
import { codeOf } from "../live-tree.ts";
import { packPath, PRIVATE_FILE } from "./layout.ts";

/** A pack is closed at this size: small enough to rewrite when most of it is dead, large enough to be few. */
const PACK_BYTES_MAX = 64 * 1024 * 1024;
/** Committed at this much new content, so that a killed first checkpoint does not begin again at zero. */
const COMMIT_BYTES = 256 * 1024 * 1024;
/** Level 1 compresses nearly as well as 3 here and costs the least. */
const ZSTD_LEVEL = 1;
const RAW = 0;
const ZSTD = 1;

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
  /** Copies a blob as it is, broken or not, into the newest pack. False when its pack is cut short. */
  move(hash: string): boolean;
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
      const data = row ? readStored(row, open(row.pack)) : undefined;
      return row && data ? { row, data } : undefined;
    },
    read(hash) {
      for (let attempt = 0; ; attempt += 1) {
        const row = find.get(key(hash));
        if (!row) throw new ObserverError("corrupt", `Content ${hash} is missing from the store`);
        try {
          return unpack(hash, row, open(row.pack));
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

/** The blob's bytes as they lie in the pack; undefined when the pack ends before them. */
function readStored(row: BlobRow, fd: number): Buffer | undefined {
  const stored = Buffer.allocUnsafe(row.stored);
  let filled = 0;
  while (filled < row.stored) {
    const count = readSync(fd, stored, filled, row.stored - filled, row.offset + filled);
    if (count === 0) return undefined;
    filled += count;
  }
  return stored;
}

function unpack(hash: string, row: BlobRow, fd: number): Buffer {
  const stored = readStored(row, fd);
  if (!stored) throw new ObserverError("corrupt", `Content ${hash} is cut short in its pack`);
  let bytes: Buffer;
  try {
    bytes = row.codec === ZSTD ? Bun.zstdDecompressSync(stored) : stored;
  } catch (error) {
    throw new ObserverError("corrupt", `Content ${hash} cannot be decompressed`, { cause: error });
  }
  if (bytes.length !== row.size || sha256(bytes) !== hash)
    throw new ObserverError("corrupt", `Content ${hash} is not what was stored`);
  return bytes;
}

/** Needs the store's lock. Cuts off what an earlier writer left behind without committing it. */
export function createBlobWriter(store: string, db: Database): BlobWriter {
  dropLeftovers(store, db);
  const reader = createBlobReader(store, db);
  const pending = new Map<string, BlobRow>();
  const packer = createPacker(store, db);
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
      pending.set(hash, {
        ...packer.append(data),
        stored: data.length,
        size: bytes.length,
        codec,
      });
      added.push(hash);
      addedBytes += data.length;
      uncommitted += data.length;
      if (uncommitted >= COMMIT_BYTES) commit();
      return hash;
    },
    move(hash) {
      const found = reader.stored(hash);
      if (found) pending.set(hash, { ...found.row, ...packer.append(found.data) });
      return found !== undefined;
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

interface Packer {
  append(data: Uint8Array): { pack: number; offset: number };
  /** Everything appended so far is on disk when it returns. */
  sync(): void;
  /** Writes the packs' new lengths to the index; inside the caller's transaction. */
  record(): void;
  close(): void;
}

function createPacker(store: string, db: Database): Packer {
  const last = db
    .query<{ id: number; bytes: number }, []>(
      "SELECT id, bytes FROM packs ORDER BY id DESC LIMIT 1",
    )
    .get();
  const open = (pack: number): number =>
    openSync(packPath(store, pack), constants.O_WRONLY | constants.O_CREAT, PRIVATE_FILE);
  // Numbers are never used twice: a reader may still hold the old pack of that number open.
  const used = db
    .query<{ seq: number }, []>("SELECT seq FROM sqlite_sequence WHERE name = 'packs'")
    .get();
  const next = (used?.seq ?? 0) + 1;
  let current = last ?? { id: next, bytes: 0 };
  let fd: number | undefined;
  let created = false;
  const lengths = new Map<number, number>();
  const sync = (): void => {
    if (fd !== undefined) fdatasyncSync(fd);
    // A new pack's name must survive a power loss too.
    if (created) syncDirectory(join(store, "packs"));
    created = false;
  };
  return {
    append(data) {
      if (current.bytes > 0 && current.bytes + data.length > PACK_BYTES_MAX) {
        sync();
        if (fd !== undefined) closeSync(fd);
        fd = undefined;
        current = { id: Math.max(current.id + 1, next), bytes: 0 };
      }
      if (current.bytes === 0) created = true;
      fd ??= open(current.id);
      const offset = current.bytes;
      let written = 0;
      while (written < data.length)
        written += writeSync(fd, data, written, data.length - written, offset + written);
      current = { id: current.id, bytes: offset + data.length };
      lengths.set(current.id, current.bytes);
      return { pack: current.id, offset };
    },
    sync,
    record() {
      const update = db.query("INSERT OR REPLACE INTO packs (id, bytes) VALUES (?, ?)");
      for (const [pack, bytes] of lengths) update.run(pack, bytes);
      lengths.clear();
    },
    close() {
      if (fd !== undefined) closeSync(fd);
      fd = undefined;
    },
  };
}

/** Bytes beyond what the index knows belong to a writer that died before its commit. */
function dropLeftovers(store: string, db: Database): void {
  const known = new Map(
    db
      .query<{ id: number; bytes: number }, []>("SELECT id, bytes FROM packs")
      .all()
      .map((row) => [row.id, row.bytes]),
  );
  for (const name of readdirSync(join(store, "packs"))) {
    const match = /^(\d{6,})\.pack$/.exec(name);
    if (!match) continue;
    const path = join(store, "packs", name);
    const bytes = known.get(Number(match[1]));
    if (bytes === undefined) unlinkSync(path);
    else if (truncateTo(path, bytes) < bytes) distrust(db, Number(match[1]), path);
  }
}

/** Content beyond the end of a damaged pack is stored anew when it comes again. */
function distrust(db: Database, pack: number, path: string): void {
  db.query("UPDATE blobs SET bad = 1 WHERE pack = ? AND offset + stored > ?").run(
    pack,
    statSync(path).size,
  );
}

function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The file's size before. */
function truncateTo(path: string, bytes: number): number {
  const fd = openSync(path, "r+");
  try {
    const { size } = fstatSync(fd);
    if (size > bytes) ftruncateSync(fd, bytes);
    return size;
  } finally {
    closeSync(fd);
  }
}
