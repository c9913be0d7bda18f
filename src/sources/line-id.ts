// Ids for lines that have none: the same line of the same file gets the same id at every import.

import { createRecentMap } from "./recent-map.ts";

/** Different lines whose repetitions are counted, per file; a repetition further apart than that is taken for the first. */
const LINES_MAX = 100_000;

/**
 * Returns a function from a line to its id, `<prefix>:<hash>:<occurrence>`. Equal lines of one file stay
 * distinct by their occurrence.
 */
export function createLineIds(prefix: string): (text: string) => string {
  const seen = createRecentMap<number>(LINES_MAX);
  return (text) => {
    const key = Bun.hash.xxHash64(text).toString(36);
    const occurrence = (seen.get(key) ?? 0) + 1;
    seen.set(key, occurrence);
    return `${prefix}:${key}:${occurrence}`;
  };
}
