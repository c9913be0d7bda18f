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
  statfsSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { ObserverError } from "../../core/errors.ts";
import { formatSize } from "../../core/units.ts";
import { codeOf } from "../live-tree.ts";
import { packPath, packsIn, PRIVATE_FILE } from "./layout.ts";
import { encodeHead, hasHeads, type Head, HEAD_BYTES, PACK_START } from "./pack-format.ts";

/** A pack is closed at this size: small enough to rewrite when most of it is dead, large enough to be few. */
const PACK_BYTES_MAX = 64 * 1024 * 1024;
/** Small blobs are gathered to this size before they are written: one call for hundreds of files. */
const GATHER_BYTES = 1024 * 1024;

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
  const damaged = dropLeftovers(store, db);
  const next = nextNumber(db);
  let current = lastPack(db, store, damaged) ?? { id: next, bytes: 0 };
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
      // Callers use their buffers again.
      gather(large ? data : Uint8Array.from(data));
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

/** The pack to go on with; none when it is damaged or of an older form: then a new one is begun. */
function lastPack(db: Database, store: string, damaged: Set<number>): Current | undefined {
  const last = db.query<Current, []>("SELECT id, bytes FROM packs ORDER BY id DESC LIMIT 1").get();
  if (!last || damaged.has(last.id)) return undefined;
  if (last.bytes === 0) return last;
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
 * gone, cut short or unreadable is not trusted any more: it is stored anew when it comes again. Returns such packs.
 */
export function dropLeftovers(store: string, db: Database): Set<number> {
  const present = new Set<number>();
  const damaged = new Set<number>();
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
    present.add(pack);
    const size = truncateTo(path, bytes);
    if (size >= bytes) continue;
    damaged.add(pack);
    distrust(db, pack, size);
  }
  for (const [pack, bytes] of known) {
    if (present.has(pack) || bytes === 0) continue;
    damaged.add(pack);
    distrust(db, pack, 0);
  }
  return damaged;
}

/** The pack files by their numbers; other names in the directory are none of ours. */
export function packFiles(store: string): { path: string; pack: number }[] {
  return readdirSync(packsIn(store)).flatMap((name) => {
    const match = /^(\d{6,})\.pack$/.exec(name);
    return match ? [{ path: join(packsIn(store), name), pack: Number(match[1]) }] : [];
  });
}

function distrust(db: Database, pack: number, size: number): void {
  db.query(
    "UPDATE blobs SET bad = 1 WHERE pack = ?1 AND (offset + stored > ?2 OR ?2 = 0) AND bad = 0",
  ).run(pack, size);
}

export function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The file's size before; 0 when it cannot be opened at all. */
function truncateTo(path: string, bytes: number): number {
  let fd: number;
  try {
    fd = openSync(path, "r+");
  } catch (error) {
    if (codeOf(error) === "EROFS") throw error;
    return 0;
  }
  try {
    const { size } = fstatSync(fd);
    if (size > bytes) ftruncateSync(fd, bytes);
    return size;
  } finally {
    closeSync(fd);
  }
}
