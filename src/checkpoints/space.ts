// How much room there is, and how much of it must stay free.

import { existsSync, readdirSync, statfsSync, statSync } from "node:fs";
import { join } from "node:path";
import { packsIn } from "./store/layout.ts";

export interface Space {
  /** What this process may still use. */
  freeBytes: number;
  /** The whole file system. */
  sizeBytes: number;
}

export interface GuardSettings {
  /** What must stay free: the smaller of the two. */
  keepFreeBytes: number;
  keepFreePercent: number;
}

export function spaceOf(path: string): Space {
  const { bavail, blocks, bsize } = statfsSync(path);
  return { freeBytes: bavail * bsize, sizeBytes: blocks * bsize };
}

/** Bytes that must stay free on a file system of this size. */
export function guardBytes(
  { keepFreeBytes, keepFreePercent }: GuardSettings,
  sizeBytes: number,
): number {
  return Math.min(keepFreeBytes, Math.floor((sizeBytes * keepFreePercent) / 100));
}

/** The unit of `stat`. */
const BLOCK_BYTES = 512;

/** What the content store occupies; its packs are nearly all of it. */
export function usedBytes(store: string): number {
  let bytes = 0;
  for (const directory of [store, packsIn(store)]) {
    if (!existsSync(directory)) continue;
    for (const name of readdirSync(directory)) {
      const stat = statSync(join(directory, name), { throwIfNoEntry: false });
      if (stat?.isFile()) bytes += stat.blocks * BLOCK_BYTES;
    }
  }
  return bytes;
}
