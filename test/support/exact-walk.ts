// Looks at a tree as exactly as the kernel shows it, with nothing of observer's own: its own libc table, its own walk.

import { dlopen, FFIType } from "bun:ffi";
import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
} from "node:fs";

const { i32, i64, u64, ptr } = FFIType;
const { symbols } = dlopen("libc.so.6", {
  lgetxattr: { args: [ptr, ptr, ptr, u64], returns: i64 },
  llistxattr: { args: [ptr, ptr, u64], returns: i64 },
  lsetxattr: { args: [ptr, ptr, ptr, u64, i32], returns: i32 },
  lremovexattr: { args: [ptr, ptr], returns: i32 },
  lseek: { args: [i32, i64, i32], returns: i64 },
});

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const room = Buffer.alloc(65_536);
const text = (bytes: Uint8Array | string): Buffer =>
  Buffer.concat([Buffer.from(bytes as string), Buffer.alloc(1)]);

/** Name → value in base64, by name. Without labels of security modules, which the machine sets. */
export function attributesAt(path: Uint8Array): Record<string, string> {
  const length = Number(symbols.llistxattr(text(path), room, BigInt(room.length)));
  const names = room.toString("latin1", 0, Math.max(0, length)).split("\0").filter(Boolean);
  const found: Record<string, string> = {};
  for (const name of names.sort()) {
    if (name === "security.selinux") continue;
    const size = Number(
      symbols.lgetxattr(text(path), text(Buffer.from(name, "latin1")), room, BigInt(room.length)),
    );
    found[name] = room.toString("base64", 0, size);
  }
  return found;
}

/** False where the file system or this user may not. */
export function setAttributeAt(path: Uint8Array, name: string, value: Uint8Array): boolean {
  const bytes = value.length > 0 ? value : new Uint8Array(1);
  return symbols.lsetxattr(text(path), text(name), bytes, BigInt(value.length), 0) === 0;
}

export function removeAttributeAt(path: Uint8Array, name: string): boolean {
  return symbols.lremovexattr(text(path), text(name)) === 0;
}

/** "start-end" of every part with data, as the file system keeps it. */
export function dataOf(path: Uint8Array): string {
  const fd = openSync(Buffer.from(path), "r");
  try {
    const parts: string[] = [];
    for (let at = 0n; ;) {
      const start = symbols.lseek(fd, at, SEEK_DATA);
      if (start < 0n) return parts.join(" ");
      at = symbols.lseek(fd, start, SEEK_HOLE);
      parts.push(`${start}-${at}`);
    }
  } finally {
    closeSync(fd);
  }
}

export interface WalkOptions {
  /** Names directly in the top directory that are no part of it. */
  without?: string[];
}

/**
 * Path (Latin-1 of its bytes) → type, mode, owner, modification time in ns, content or target, attributes, data
 * extents, and the first of the paths that are the same file.
 */
export function exactWalk(top: string, options: WalkOptions = {}): Record<string, string> {
  const found: Record<string, string> = {};
  const firsts = new Map<string, string>();
  const visit = (path: Buffer, name: string): void => {
    const stat = lstatSync(path, { bigint: true });
    const type = Number(stat.mode) & constants.S_IFMT;
    const facts: unknown[] = [stat.mode.toString(8), `${stat.uid}:${stat.gid}`, stat.mtimeNs];
    if (type === constants.S_IFLNK) facts.push(readlinkSync(path, "latin1"));
    else facts.push(JSON.stringify(attributesAt(path)));
    if (type === constants.S_IFREG) {
      facts.push(stat.size, createHash("sha256").update(readFileSync(path)).digest("hex"));
      facts.push(dataOf(path));
    }
    if (type !== constants.S_IFDIR && stat.nlink > 1n) {
      const key = `${stat.dev}:${stat.ino}`;
      const first = firsts.get(key) ?? name;
      firsts.set(key, first);
      facts.push(`same as ${first}, ${stat.nlink} names`);
    }
    found[name] = facts.join(" | ");
    if (type !== constants.S_IFDIR) return;
    const names = readdirSync(path, { encoding: "buffer" }).sort(Buffer.compare);
    for (const child of names) {
      if (name === "." && options.without?.includes(child.toString())) continue;
      visit(Buffer.concat([path, Buffer.from("/"), child]), `${name}/${child.toString("latin1")}`);
    }
  };
  visit(Buffer.from(top), ".");
  return found;
}
