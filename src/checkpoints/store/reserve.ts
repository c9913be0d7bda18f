// Space that the store keeps for itself, so that checkpoints can be deleted on a full disk: SQLite writes before it frees.

import {
  closeSync,
  existsSync,
  fdatasyncSync,
  openSync,
  rmSync,
  statfsSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { ObserverError } from "../../core/errors.ts";
import { codeOf } from "../live-tree.ts";
import { PRIVATE_FILE } from "./layout.ts";

/** The journals of some transactions of `collect`. */
const RESERVE_BYTES = 4 * 1024 * 1024;
/** It is not made while less than this many times its size is free. */
const ROOM_FACTOR = 4;

function reservePath(store: string): string {
  return join(store, "reserve");
}

/** Makes the reserve unless it is there or the disk is too full for it. Never throws: it is a precaution. */
export function keepReserve(store: string): void {
  const path = reservePath(store);
  if (existsSync(path)) return;
  try {
    const { bavail, bsize } = statfsSync(store);
    if (bavail * bsize < ROOM_FACTOR * RESERVE_BYTES) return;
    const fd = openSync(path, "w", PRIVATE_FILE);
    try {
      // What cannot be compressed: a file system that compresses would keep nothing for zeros.
      const bytes = new Uint8Array(RESERVE_BYTES);
      for (let at = 0; at < bytes.length; at += 65_536)
        crypto.getRandomValues(bytes.subarray(at, at + 65_536));
      for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at, at);
      fdatasyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch {
    rmSync(path, { force: true });
  }
}

/** Gives the reserve back to the file system. False when there is none. */
export function spendReserve(store: string): boolean {
  const there = existsSync(reservePath(store));
  rmSync(reservePath(store), { force: true });
  return there;
}

/** Whether something failed because the file system is full, also where SQLite words it otherwise. */
export function isNoSpace(error: unknown): boolean {
  if (error instanceof ObserverError && error.code === "no_space") return true;
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const code = codeOf(at) ?? "";
    if (/^(ENOSPC|EDQUOT|SQLITE_FULL|SQLITE_IOERR.*)$/.test(code)) return true;
  }
  return false;
}
