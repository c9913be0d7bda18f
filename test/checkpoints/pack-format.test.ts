// Heads of blobs in packs, and finding them again between anything.

import { afterEach, expect, test } from "bun:test";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import {
  decodeHead,
  encodeHead,
  type Head,
  HEAD_BYTES,
  PACK_START,
  scanPack,
} from "../../src/checkpoints/store/pack-format.ts";

const directory = mkdtempSync(join(tmpdir(), "observer-pack-"));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const anyHead: fc.Arbitrary<Head> = fc.record({
  hash: fc
    .uint8Array({ minLength: 32, maxLength: 32 })
    .map((bytes) => Buffer.from(bytes).toString("hex")),
  stored: fc.nat(0xffffffff),
  size: fc.nat(0xffffffff),
  codec: fc.constantFrom(0, 1),
});

test("a head is read back as it was written, and not at all when one bit of it is another", () => {
  fc.assert(
    fc.property(anyHead, fc.nat(HEAD_BYTES * 8 - 1), (head, bit) => {
      const bytes = encodeHead(head);
      expect(decodeHead(bytes)).toEqual(head);
      expect(decodeHead(bytes.subarray(0, HEAD_BYTES - 1))).toBeUndefined();
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(decodeHead(bytes)).toBeUndefined();
    }),
  );
});

function scanned(bytes: Buffer): string[] {
  const path = join(directory, "pack");
  mkdirSync(directory, { recursive: true });
  writeFileSync(path, bytes);
  const fd = openSync(path, "r");
  try {
    return [...scanPack(fd)].map(({ hash }) => hash);
  } finally {
    closeSync(fd);
  }
}

test("scanPack finds every blob between garbage, also between as much as a window of it", () => {
  const blob = (index: number, bytes: number): Buffer =>
    Buffer.concat([
      encodeHead({
        hash: String(index).padStart(64, "0"),
        stored: bytes,
        size: bytes,
        codec: 0,
      }),
      Buffer.alloc(bytes, 0x93),
    ]);
  const gap = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    fc.constantFrom(1_048_570, 1_048_573, 1_048_576, 2_097_152).map((size) => Buffer.alloc(size)),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(gap, fc.nat(300)), { maxLength: 5 }), (parts) => {
      const bytes = [PACK_START, ...parts.flatMap(([hole, size], i) => [hole, blob(i, size)])];
      expect(scanned(Buffer.concat(bytes))).toEqual(
        parts.map((_, index) => String(index).padStart(64, "0")),
      );
    }),
    { numRuns: 50 },
  );
});

test("scanPack finds nothing in a pack without heads, and no blob that is cut short", () => {
  expect(scanned(Buffer.from("no pack at all"))).toEqual([]);
  expect(scanned(Buffer.alloc(0))).toEqual([]);
  const head = encodeHead({ hash: "ab".repeat(32), stored: 100, size: 100, codec: 0 });
  expect(scanned(Buffer.concat([PACK_START, head, Buffer.alloc(99)]))).toEqual([]);
  expect(scanned(Buffer.concat([PACK_START, head, Buffer.alloc(100)]))).toHaveLength(1);
});
