// Random directory trees and random damage to them, as fast-check arbitraries.

import * as fc from "fast-check";
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { setModified } from "../../src/kernel/libc.ts";
import { setAttributeAt } from "./exact-walk.ts";

/** Content by its length; told in a few words when a test fails. */
interface Content {
  bytes: number;
  seed: number;
}

/** One part of a file; the rest is a hole. In blocks of 4 KiB. */
interface Data {
  block: number;
  bytes: number;
}

export interface TreeItem {
  path: Buffer[];
  type: "file" | "directory" | "symlink" | "link";
  content: Content;
  target: string;
  /** A file with holes: this in place of `content`. */
  sparse: Data[] | null;
  /** Which of the files so far a link is another name of. */
  of: number;
  mode: number;
  mtimeNs: bigint;
  owner: number;
  attributes: [name: string, value: Uint8Array][];
}

/** What is done to one path that exists. */
type Poke = { of: number } & (
  | { what: "chmod"; mode: number }
  | { what: "touch"; mtimeNs: bigint }
  | { what: "attribute"; value: Uint8Array }
  | { what: "write"; content: Content; atByte: number }
  | { what: "rename"; path: Buffer[] }
);

const BLOCK = 4096;
/** The store keeps files in pieces of this size. */
const CHUNK = 4 * 1024 * 1024;

const NAMES = [
  "a",
  "b",
  "with space",
  "new\nline",
  "😀 emoji",
  "ünïcode",
  ".hidden",
  "-dash",
  "__proto__",
  "x".repeat(255),
];
const name = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...NAMES).map((text) => Buffer.from(text)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      Buffer.from([0xff, 0xfe]),
      Buffer.from([0x61, 0xc3]),
      Buffer.from([0x80]),
    ),
  },
);
const path = fc.array(name, { minLength: 1, maxLength: 4 });
const target = fc.constantFrom(
  "a",
  "../outside",
  "/etc/passwd",
  "nowhere",
  "with space/a",
  ".",
  "ü",
);
const mode = fc.constantFrom(0o644, 0o600, 0o755, 0o777, 0o444, 0o4755, 0o2755, 0o000);
const mtimeNs = fc.bigInt({ min: -1_000_000_000n, max: 1_700_000_000_999_999_999n });

/** Cheap to make whatever its size, and not all alike. */
function filled({ bytes, seed }: Content): Buffer {
  return Buffer.alloc(bytes, `content ${seed} `);
}
const size = fc.oneof(
  { weight: 8, arbitrary: fc.nat(300) },
  { weight: 4, arbitrary: fc.constantFrom(0, 1, BLOCK - 1, BLOCK, BLOCK + 1) },
  { weight: 1, arbitrary: fc.constantFrom(CHUNK - 1, CHUNK, CHUNK + 1) },
);
const content: fc.Arbitrary<Content> = fc.record({ bytes: size, seed: fc.nat(99) });
const sparse: fc.Arbitrary<Data[]> = fc.array(
  fc.record({
    block: fc.oneof(
      { weight: 4, arbitrary: fc.nat(20) },
      { weight: 1, arbitrary: fc.constantFrom(CHUNK / BLOCK - 1, CHUNK / BLOCK) },
    ),
    bytes: fc.constantFrom(1, 100, BLOCK, 2 * BLOCK),
  }),
  { maxLength: 4 },
);

/** `struct posix_acl_xattr_entry`s after their version: tag, permissions, id. */
function acl(entries: [tag: number, permissions: number, id: number][]): Buffer {
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(2, 0);
  for (const [index, [tag, permissions, id]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + index * 8);
    bytes.writeUInt16LE(permissions, 6 + index * 8);
    bytes.writeUInt32LE(id, 8 + index * 8);
  }
  return bytes;
}
const NO_ID = 0xffffffff;
/** Owner rw, user 1000 r, group r, mask r, others nothing. */
export const ACL = acl([
  [0x01, 6, NO_ID],
  [0x02, 4, 1000],
  [0x04, 4, NO_ID],
  [0x10, 4, NO_ID],
  [0x20, 0, NO_ID],
]);
export const DEFAULT_ACL = acl([
  [0x01, 7, NO_ID],
  [0x02, 5, 1000],
  [0x04, 5, NO_ID],
  [0x10, 5, NO_ID],
  [0x20, 5, NO_ID],
]);
/** `struct vfs_cap_data`, revision 2: CAP_NET_BIND_SERVICE, effective. */
export function capability(): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt32LE(0x02000001, 0);
  bytes.writeUInt32LE(1 << 10, 4);
  return bytes;
}

const attributes = fc.oneof(
  { weight: 4, arbitrary: fc.constant<[string, Uint8Array][]>([]) },
  {
    weight: 1,
    arbitrary: fc.subarray<[string, Uint8Array]>(
      [
        ["user.a", Buffer.from("value")],
        ["user.ünï", new Uint8Array()],
        ["user.large", filled({ bytes: 1_000, seed: 1 })],
        ["user.bytes", Buffer.from([0, 255, 10, 0])],
        ["system.posix_acl_access", ACL],
        ["system.posix_acl_default", DEFAULT_ACL],
        ["security.capability", capability()],
        ["trusted.a", Buffer.from("t")],
      ],
      { maxLength: 3 },
    ),
  },
);

const item: fc.Arbitrary<TreeItem> = fc.record({
  path,
  type: fc.constantFrom<TreeItem["type"][]>("file", "file", "file", "directory", "symlink", "link"),
  content,
  target,
  sparse: fc.option(sparse, { freq: 8 }),
  of: fc.nat(100),
  mode,
  mtimeNs,
  owner: fc.constantFrom(0, 0, 1000, 65_534),
  attributes,
});

const poke: fc.Arbitrary<Poke> = fc.oneof(
  fc.record({ of: fc.nat(100), what: fc.constant("chmod" as const), mode }),
  fc.record({ of: fc.nat(100), what: fc.constant("touch" as const), mtimeNs }),
  fc.record({
    of: fc.nat(100),
    what: fc.constant("attribute" as const),
    value: fc.uint8Array({ maxLength: 20 }),
  }),
  fc.record({
    of: fc.nat(100),
    what: fc.constant("write" as const),
    content,
    atByte: fc.constantFrom(0, 1, 5_000),
  }),
  fc.record({ of: fc.nat(100), what: fc.constant("rename" as const), path }),
);

export const tree = fc.array(item, { maxLength: 25 });
/** Put over an existing tree: whatever is in the way goes. */
export const damage = fc.record({
  put: fc.array(item, { maxLength: 12 }),
  remove: fc.array(fc.nat(), { maxLength: 6 }),
  poke: fc.array(poke, { maxLength: 8 }),
});
export interface Damage {
  put: TreeItem[];
  remove: number[];
  poke: Poke[];
}

const isRoot = process.geteuid?.() === 0;
/** Without root, what one cannot read oneself cannot be saved. */
const readable = (bits: number, isDirectory: boolean): number =>
  isRoot ? bits : bits | (isDirectory ? 0o700 : 0o600);

const under = (top: Buffer, parts: Buffer[]): Buffer =>
  Buffer.concat([top, ...parts.flatMap((part) => [Buffer.from("/"), part])]);

/** Makes directories on the way to `path`; whatever is in their way goes. */
function makeWay(top: Buffer, to: Buffer[]): void {
  for (let depth = 1; depth < to.length; depth += 1) {
    const parent = under(top, to.slice(0, depth));
    const stat = lstatSync(parent, { throwIfNoEntry: false });
    if (stat?.isDirectory()) continue;
    rmTree(parent);
    mkdirSync(parent);
  }
}

/** Makes the item; whatever is in its way goes. */
function put(top: Buffer, made: TreeItem): void {
  if (made.type === "link") {
    putLink(top, made);
    return;
  }
  makeWay(top, made.path);
  const at = under(top, made.path);
  const stat = lstatSync(at, { throwIfNoEntry: false });
  if (!stat?.isDirectory() || made.type !== "directory") {
    rmTree(at);
    if (made.type === "directory") mkdirSync(at);
    else if (made.type === "symlink") symlinkSync(made.target, at);
    else writeItem(at, made);
  }
  if (isRoot) lchownSync(at, made.owner, made.owner);
  if (made.type !== "symlink") {
    chmodSync(at, readable(made.mode, made.type === "directory"));
    for (const [key, value] of made.attributes) {
      // It lets the owner no longer look into a directory.
      const locks = value === ACL && made.type === "directory";
      if (isRoot || !locks) setAttributeAt(at, key, value);
    }
  }
  setModified(at, made.mtimeNs);
}

function writeItem(at: Buffer, made: TreeItem): void {
  const fd = openSync(at, "wx");
  try {
    if (!made.sparse) writeSync(fd, filled(made.content));
    else {
      let end = 0;
      for (const { block, bytes } of made.sparse) {
        writeSync(fd, filled({ bytes, seed: block }), 0, bytes, block * BLOCK);
        end = Math.max(end, block * BLOCK + bytes);
      }
      ftruncateSync(fd, end + made.content.bytes);
    }
  } finally {
    closeSync(fd);
  }
}

function putLink(top: Buffer, made: TreeItem): void {
  const files = paths(top).filter((at) => !lstatSync(at).isDirectory());
  const source = files[made.of % Math.max(1, files.length)];
  if (!source) return;
  makeWay(top, made.path);
  const at = under(top, made.path);
  // What stood in the way may have been the very file.
  const now = lstatSync(source, { throwIfNoEntry: false });
  if (at.equals(source) || !now || now.isDirectory()) return;
  const stat = lstatSync(at, { throwIfNoEntry: false });
  if (stat?.isDirectory()) return;
  rmTree(at);
  linkSync(source, at);
}

// rmSync turns its path into text, which names that are not UTF-8 do not survive.
function rmTree(at: Buffer): void {
  const stat = lstatSync(at, { throwIfNoEntry: false });
  if (!stat) return;
  if (!stat.isDirectory()) {
    unlinkSync(at);
    return;
  }
  for (const child of readdirSync(at, { encoding: "buffer" })) rmTree(under(at, [child]));
  rmdirSync(at);
}

function paths(top: Buffer): Buffer[] {
  return readdirSync(top, { encoding: "buffer" })
    .sort(Buffer.compare)
    .flatMap((child) => {
      const at = under(top, [child]);
      return lstatSync(at).isDirectory() ? [at, ...paths(at)] : [at];
    });
}

function doPoke(top: Buffer, done: Poke): void {
  const all = paths(top);
  const at = all[done.of % Math.max(1, all.length)];
  if (!at) return;
  const stat = lstatSync(at);
  if (done.what === "touch") setModified(at, done.mtimeNs);
  else if (done.what === "rename") rename(top, at, done.path);
  else if (stat.isSymbolicLink()) return;
  else if (done.what === "chmod") chmodSync(at, readable(done.mode, stat.isDirectory()));
  else if (done.what === "attribute") setAttributeAt(at, "user.a", done.value);
  else if (stat.isFile()) {
    const fd = openSync(at, "r+");
    writeSync(fd, filled(done.content), 0, done.content.bytes, done.atByte);
    closeSync(fd);
  }
}

function rename(top: Buffer, from: Buffer, to: Buffer[]): void {
  makeWay(top, to);
  const at = under(top, to);
  // What stood in the way may have been the very thing, and nothing moves into itself.
  if (!lstatSync(from, { throwIfNoEntry: false })) return;
  if (at.equals(from) || at.indexOf(Buffer.concat([from, Buffer.from("/")])) === 0) return;
  if (from.indexOf(Buffer.concat([at, Buffer.from("/")])) === 0) return;
  rmTree(at);
  renameSync(from, at);
}

export function build(top: string, items: TreeItem[]): void {
  for (const made of items) put(Buffer.from(top), made);
}

export function spoil(top: string, { put: items, remove, poke: pokes }: Damage): void {
  for (const index of remove) {
    const all = paths(Buffer.from(top));
    const victim = all[index % Math.max(1, all.length)];
    if (victim) rmTree(victim);
  }
  for (const done of pokes) doPoke(Buffer.from(top), done);
  build(top, items);
}

export function empty(top: string): void {
  for (const child of readdirSync(top, { encoding: "buffer" }))
    rmTree(under(Buffer.from(top), [child]));
}
