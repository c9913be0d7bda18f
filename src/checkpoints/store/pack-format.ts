// How blobs lie in a pack: each behind a head of its own, so that a lost index can be made again from the packs alone.

import { fstatSync, readSync } from "node:fs";
import { ObserverError } from "../../core/errors.ts";

/** First bytes of a pack whose blobs have heads. */
export const PACK_START = Buffer.from("observer pack 2\n", "latin1");
export const RAW = 0;
export const ZSTD = 1;

/** What a head says of the bytes that follow it. */
export interface Head {
  /** SHA-256 of the content, in hex. */
  hash: string;
  /** Bytes in the pack. */
  stored: number;
  /** Bytes of the content. */
  size: number;
  /** `RAW` or `ZSTD`. */
  codec: number;
}

// Layout, little endian: 4 bytes mark, 1 codec, 3 zero, 4 stored, 4 size, 32 hash, 4 CRC-32 of all before it.
const MARK = Buffer.from([0x93, 0x4f, 0x42, 0x53]);
const STORED_AT = 8;
const SIZE_AT = 12;
const HASH_AT = 16;
const CRC_AT = 48;
export const HEAD_BYTES = 52;
/** How much of a damaged stretch is searched at a time for the next head. */
const WINDOW_BYTES = 1024 * 1024;

export function encodeHead({ hash, stored, size, codec }: Head): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  MARK.copy(head);
  head[MARK.length] = codec;
  head.writeUInt32LE(stored, STORED_AT);
  head.writeUInt32LE(size, SIZE_AT);
  head.write(hash, HASH_AT, "hex");
  head.writeUInt32LE(Bun.hash.crc32(head.subarray(0, CRC_AT)), CRC_AT);
  return head;
}

/** Undefined when these bytes are no head, or a damaged one. */
export function decodeHead(bytes: Buffer): Head | undefined {
  if (bytes.length < HEAD_BYTES || !bytes.subarray(0, MARK.length).equals(MARK)) return undefined;
  if (bytes.readUInt32LE(CRC_AT) !== Bun.hash.crc32(bytes.subarray(0, CRC_AT))) return undefined;
  return {
    hash: bytes.toString("hex", HASH_AT, CRC_AT),
    stored: bytes.readUInt32LE(STORED_AT),
    size: bytes.readUInt32LE(SIZE_AT),
    codec: bytes[MARK.length] ?? RAW,
  };
}

/** `length` bytes at `offset`, fewer at the end of the file. */
export function readAt(fd: number, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const count = readSync(fd, bytes, filled, length - filled, offset + filled);
    if (count === 0) break;
    filled += count;
  }
  return bytes.subarray(0, filled);
}

/** Whether the pack's blobs have heads; packs of observer 0.1 have none. */
export function hasHeads(fd: number): boolean {
  return readAt(fd, 0, PACK_START.length).equals(PACK_START);
}

/**
 * Every blob that a pack names, with where its bytes begin; whether they are sound is not looked at. Damaged
 * stretches are passed over: the next head is found by its mark and its checksum.
 */
export function* scanPack(fd: number): Generator<Head & { offset: number }> {
  if (!hasHeads(fd)) return;
  const { size } = fstatSync(fd);
  let at = PACK_START.length;
  while (at + HEAD_BYTES <= size) {
    const head = decodeHead(readAt(fd, at, HEAD_BYTES));
    if (head && at + HEAD_BYTES + head.stored <= size) {
      yield { ...head, offset: at + HEAD_BYTES };
      at += HEAD_BYTES + head.stored;
      continue;
    }
    at = nextMark(fd, at + 1, size);
  }
}

/** Where the next mark stands at or after `from`; `size` when there is none. */
function nextMark(fd: number, from: number, size: number): number {
  for (let at = from; at < size; at += WINDOW_BYTES) {
    // The windows overlap, so that a mark across their edge is seen.
    const found = readAt(fd, at, WINDOW_BYTES + MARK.length - 1).indexOf(MARK);
    if (found !== -1) return at + found;
  }
  return size;
}

/** The content of a blob as it is stored. Throws `corrupt` unless it is what its hash says. */
export function unpack(
  hash: string,
  { stored, size, codec }: Omit<Head, "hash">,
  data: Buffer,
): Buffer {
  if (data.length !== stored)
    throw new ObserverError("corrupt", `Content ${hash} is cut short in its pack`);
  let bytes: Buffer;
  try {
    bytes = codec === ZSTD ? Bun.zstdDecompressSync(data) : data;
  } catch (error) {
    throw new ObserverError("corrupt", `Content ${hash} cannot be decompressed`, { cause: error });
  }
  if (bytes.length !== size || new Bun.CryptoHasher("sha256").update(bytes).digest("hex") !== hash)
    throw new ObserverError("corrupt", `Content ${hash} is not what was stored`);
  return bytes;
}

/** Whether the bytes as stored are what the hash says. */
export function isWhole(hash: string, row: Omit<Head, "hash">, data: Buffer): boolean {
  try {
    unpack(hash, row, data);
    return true;
  } catch {
    return false;
  }
}
