// The pack files as their one writer sees them: appending, what a dead writer left, and what is damaged.

import type { Database } from "bun:sqlite";
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  renameSync,
  statfsSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { ObserverError } from "../../core/errors.ts";
import { formatSize } from "../../core/units.ts";
import { codeOf } from "../live-tree.ts";
import { packPath, packsIn, PRIVATE_FILE } from "./layout.ts";
import {
  encodeHead,
  hasHeads,
  type Head,
  HEAD_BYTES,
  isWhole,
  PACK_START,
  readAt,
  ZSTD,
} from "./pack-format.ts";

/** A pack is closed at this size: small enough to rewrite when most of it is dead, large enough to be few. */
const PACK_BYTES_MAX = 64 * 1024 * 1024;
/** Small blobs are gathered to this size before they are written: one call for hundreds of files. */
const GATHER_BYTES = 1024 * 1024;
/** Of a file that cannot be used any more and is kept for a person to look at. */
export const ASIDE = ".bad";

export interface Packer {
  /** `offset`: where the blob's own bytes begin, behind its head. */
  append(head: Head, data: Uint8Array): { pack: number; offset: number };
  /** Everything appended so far is on disk when it returns. */
  sync(): void;
  /** Writes the packs' new lengths to the index; inside the caller's transaction. */
  record(): void;
  close(): void;
}

interface Current {
  id: number;
  bytes: number;
}

/**
 * Needs the store's lock; cuts off first what an earlier writer left behind without committing it.
 * `keepFreeBytes`: writing stops with `no_space` when less than this would stay free on the file system.
 */
export function createPacker(store: string, db: Database, keepFreeBytes = 0): Packer {
  dropLeftovers(store, db);
  const next = nextNumber(db);
  let current = lastPack(db, store) ?? { id: next, bytes: 0 };
  let fd: number | undefined;
  let created = false;
  let gathered: Uint8Array[] = [];
  let gatheredBytes = 0;
  const lengths = new Map<number, number>();

  const open = (): number =>
    (fd ??= openSync(
      packPath(store, current.id),
      constants.O_WRONLY | constants.O_CREAT,
      PRIVATE_FILE,
    ));
  const flush = (): void => {
    if (gatheredBytes === 0) return;
    expectRoom(store, keepFreeBytes, gatheredBytes);
    const data = gathered.length === 1 ? gathered[0] : Buffer.concat(gathered);
    if (data) writeAll(open(), data, current.bytes - gatheredBytes);
    gathered = [];
    gatheredBytes = 0;
  };
  const gather = (bytes: Uint8Array): void => {
    gathered.push(bytes);
    gatheredBytes += bytes.length;
    current = { id: current.id, bytes: current.bytes + bytes.length };
  };
  const sync = (): void => {
    flush();
    if (fd !== undefined) fdatasyncSync(fd);
    // A new pack's name must survive a power loss too.
    if (created) syncDirectory(packsIn(store));
    created = false;
  };
  return {
    append(head, data) {
      if (current.bytes > 0 && current.bytes + HEAD_BYTES + data.length > PACK_BYTES_MAX) {
        sync();
        if (fd !== undefined) closeSync(fd);
        fd = undefined;
        current = { id: Math.max(current.id + 1, next), bytes: 0 };
      }
      if (current.bytes === 0) {
        created = true;
        gather(PACK_START);
      }
      gather(encodeHead(head));
      const large = data.length >= GATHER_BYTES;
      if (large) flush();
      const place = { pack: current.id, offset: current.bytes };
      // Callers use their own buffers again; compressed bytes are nobody else's.
      gather(large || head.codec === ZSTD ? data : new Uint8Array(data));
      lengths.set(current.id, current.bytes);
      if (gatheredBytes >= GATHER_BYTES) flush();
      return place;
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

/** Numbers are never used twice: a reader may still hold the old pack of that number open. */
function nextNumber(db: Database): number {
  const used = db
    .query<{ seq: number }, []>("SELECT seq FROM sqlite_sequence WHERE name = 'packs'")
    .get();
  return (used?.seq ?? 0) + 1;
}

/** The pack to go on with; none when it is of an older form: then a new one is begun. */
function lastPack(db: Database, store: string): Current | undefined {
  const last = db.query<Current, []>("SELECT id, bytes FROM packs ORDER BY id DESC LIMIT 1").get();
  if (!last || last.bytes === 0) return last ?? undefined;
  const fd = openSync(packPath(store, last.id), "r");
  try {
    return hasHeads(fd) ? last : undefined;
  } finally {
    closeSync(fd);
  }
}

function expectRoom(store: string, keepFreeBytes: number, bytes: number): void {
  if (keepFreeBytes <= 0) return;
  const { bavail, bsize } = statfsSync(store);
  if (bavail * bsize - bytes >= keepFreeBytes) return;
  throw new ObserverError(
    "no_space",
    `Cannot store more: ${formatSize(bavail * bsize)} are free where the store is, and ${formatSize(keepFreeBytes)} must stay free`,
    { detail: { free_bytes: bavail * bsize, keep_free_bytes: keepFreeBytes } },
  );
}

function writeAll(fd: number, data: Uint8Array, offset: number): void {
  let written = 0;
  while (written < data.length)
    written += writeSync(fd, data, written, data.length - written, offset + written);
}

/**
 * Bytes beyond what the index knows belong to a writer that died before its commit. Content in a pack that is
 * gone, cut short or unreadable is not trusted any more: it is stored anew when it comes again.
 */
export function dropLeftovers(store: string, db: Database): void {
  const known = new Map(
    db
      .query<Current, []>("SELECT id, bytes FROM packs")
      .all()
      .map((row) => [row.id, row.bytes]),
  );
  for (const { path, pack } of packFiles(store)) {
    const bytes = known.get(pack);
    if (bytes === undefined) {
      unlinkSync(path);
      continue;
    }
    const size = truncateTo(path, bytes);
    if (size === undefined) {
      renameSync(path, `${path}${ASIDE}`);
      continue;
    }
    known.delete(pack);
    if (size >= bytes) continue;
    checkPack(store, db, pack);
    db.query("UPDATE packs SET bytes = ? WHERE id = ?").run(size, pack);
  }
  for (const [pack, bytes] of known) {
    if (bytes === 0) continue;
    checkPack(store, db, pack);
    db.query("DELETE FROM packs WHERE id = ?").run(pack);
  }
}

/** Reads every blob that a damaged pack should hold, and takes the trust from those that are not whole. */
export function checkPack(store: string, db: Database, pack: number): void {
  const rows = db
    .query<
      { hash: Uint8Array; offset: number; stored: number; size: number; codec: number },
      [number]
    >("SELECT hash, offset, stored, size, codec FROM blobs WHERE pack = ? AND bad = 0")
    .all(pack);
  // By its place too: the collector may have moved it since.
  const distrust = db.query("UPDATE blobs SET bad = 1 WHERE hash = ? AND pack = ?");
  const fd = openIfThere(packPath(store, pack));
  try {
    for (const row of rows) {
      const hash = Buffer.from(row.hash).toString("hex");
      if (fd === undefined || !isWhole(hash, row, readAt(fd, row.offset, row.stored)))
        distrust.run(row.hash, pack);
    }
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** The pack files by their numbers; other names in the directory are none of ours. */
export function packFiles(store: string): { path: string; pack: number }[] {
  return readdirSync(packsIn(store)).flatMap((name) => {
    const match = /^(\d{6,})\.pack$/.exec(name);
    return match ? [{ path: join(packsIn(store), name), pack: Number(match[1]) }] : [];
  });
}

export function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The file's size before; undefined when it cannot be opened. */
function truncateTo(path: string, bytes: number): number | undefined {
  let fd: number;
  try {
    fd = openSync(path, "r+");
  } catch (error) {
    if (codeOf(error) === "EROFS") throw error;
    return undefined;
  }
  try {
    const { size } = fstatSync(fd);
    if (size > bytes) ftruncateSync(fd, bytes);
    return size;
  } finally {
    closeSync(fd);
  }
}
