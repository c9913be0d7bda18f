// Random directory trees and random damage to them, as fast-check arbitraries.

import * as fc from "fast-check";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { setModified } from "../../src/kernel/libc.ts";

export interface TreeItem {
  path: Buffer[];
  type: "file" | "directory" | "symlink";
  content: Uint8Array;
  mode: number;
  mtimeNs: bigint;
}

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

const item: fc.Arbitrary<TreeItem> = fc
  .record({
    path: fc.array(name, { minLength: 1, maxLength: 4 }),
    type: fc.constantFrom("file", "file", "directory", "symlink"),
    content: fc.oneof(fc.constant(new Uint8Array()), fc.uint8Array({ maxLength: 300 })),
    mode,
    mtimeNs: fc.bigInt({ min: 1_000_000_000n, max: 1_700_000_000_999_999_999n }),
  })
  .chain((base) =>
    base.type === "symlink"
      ? target.map((text) => ({ ...base, content: Buffer.from(text) }))
      : fc.constant(base),
  );

export const tree = fc.array(item, { maxLength: 25 });
/** Put over an existing tree: whatever is in the way goes. */
export const damage = fc.record({
  put: fc.array(item, { maxLength: 12 }),
  remove: fc.array(fc.nat(), { maxLength: 6 }),
});

const under = (top: Buffer, parts: Buffer[]): Buffer =>
  Buffer.concat([top, ...parts.flatMap((part) => [Buffer.from("/"), part])]);

/** Makes the item; whatever is in its way goes. */
function put(top: Buffer, made: TreeItem): void {
  for (let depth = 1; depth < made.path.length; depth += 1) {
    const parent = under(top, made.path.slice(0, depth));
    const stat = lstatSync(parent, { throwIfNoEntry: false });
    if (stat?.isDirectory()) continue;
    rmTree(parent);
    mkdirSync(parent);
  }
  const path = under(top, made.path);
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory() && made.type === "directory") {
    chmodSync(path, made.mode);
    return;
  }
  rmTree(path);
  if (made.type === "directory") mkdirSync(path);
  else if (made.type === "symlink") symlinkSync(Buffer.from(made.content), path);
  else writeFileSync(path, made.content);
  if (made.type !== "symlink") chmodSync(path, made.mode);
  setModified(path, made.mtimeNs);
}

// rmSync turns its path into text, which names that are not UTF-8 do not survive.
function rmTree(path: Buffer): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat) return;
  if (!stat.isDirectory()) {
    unlinkSync(path);
    return;
  }
  for (const child of readdirSync(path, { encoding: "buffer" })) rmTree(under(path, [child]));
  rmdirSync(path);
}

function paths(top: Buffer): Buffer[] {
  return readdirSync(top, { encoding: "buffer" }).flatMap((child) => {
    const path = under(top, [child]);
    return lstatSync(path).isDirectory() ? [path, ...paths(path)] : [path];
  });
}

export function build(top: string, items: TreeItem[]): void {
  for (const made of items) put(Buffer.from(top), made);
}

export function spoil(
  top: string,
  { put: items, remove }: { put: TreeItem[]; remove: number[] },
): void {
  for (const index of remove) {
    const all = paths(Buffer.from(top));
    const victim = all[index % Math.max(1, all.length)];
    if (victim) rmTree(victim);
  }
  build(top, items);
}

export function empty(top: string): void {
  for (const child of readdirSync(top, { encoding: "buffer" }))
    rmTree(under(Buffer.from(top), [child]));
}
