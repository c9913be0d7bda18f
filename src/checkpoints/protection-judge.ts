// Whether a workspace lost its protection: pure, from what was known and what is seen.

import type { Inspected } from "../core/checkpoint.ts";

/** What is kept of a workspace between two looks. */
export interface Remembered {
  /** The directory that was protected last; null when none ever was. */
  path: string | null;
  identity: string | null;
  /** Why it is not protected now; null while it is. */
  lost: string | null;
  /** Looks in a row that were cut short. */
  unsure: number;
}

export interface Judged {
  now: Remembered;
  /** What is to be told, once; null when nothing changed. */
  told: "protection_lost" | "protection_back" | "never_protected" | null;
}

/** A look that is cut short proves nothing; two in a row do. */
const UNSURE_MAX = 2;

const UNKNOWN: Remembered = { path: null, identity: null, lost: null, unsure: 0 };

/**
 * `isSaved`: there is a checkpoint of the very directory that is seen. Another directory at the same place is a
 * loss until it is saved: the checkpoints there are belong to the one before.
 */
export function judgeProtection(
  before: Remembered = UNKNOWN,
  seen: Inspected,
  { isSaved }: { isSaved: boolean },
): Judged {
  const unsure = seen.unsure ? before.unsure + 1 : 0;
  if (seen.unsure && unsure < UNSURE_MAX) return { now: { ...before, unsure }, told: null };
  const lost = seen.backend === null ? seen.reason : replaced(before, seen, isSaved);
  if (lost === null)
    return {
      now: { path: seen.path, identity: seen.identity, lost: null, unsure },
      told: before.lost === null || before.identity === null ? null : "protection_back",
    };
  const now = { ...before, lost, unsure };
  if (before.lost !== null) return { now: { ...now, lost: before.lost }, told: null };
  return { now, told: before.identity === null ? "never_protected" : "protection_lost" };
}

function replaced(before: Remembered, seen: Inspected, isSaved: boolean): string | null {
  if (before.identity === null || isSaved) return null;
  if (before.path !== seen.path)
    return `it leads to ${seen.path ?? "nowhere"} now, and to ${before.path ?? "nowhere"} before; this directory is not saved yet`;
  if (!isSameDirectory(before.identity, seen.identity))
    return "another directory is at its place; this one is not saved yet";
  return null;
}

/** Device numbers are given anew at each boot, inode numbers and subvolume UUIDs are not. */
export function isSameDirectory(a: string, b: string | null): boolean {
  return a.slice(a.indexOf(":")) === (b ?? "").slice((b ?? "").indexOf(":"));
}
