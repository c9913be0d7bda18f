// What changed inside one file, as a unified diff.

import { formatPatch, OMIT_HEADERS, structuredPatch } from "diff";
import type { TextDiff } from "../core/checkpoint.ts";
import { ObserverError } from "../core/errors.ts";
import { shown, type BytePath } from "./byte-path.ts";
import { findEntry } from "./find-entry.ts";
import type { Entry, TreeReader } from "./tree.ts";

/** More than this is nothing that anybody reads, and compares slowly. */
const TEXT_BYTES_MAX = 1024 * 1024;
/** Two texts that have little in common take time that grows with their product. */
const COMPARE_MS_MAX = 2_000;
/** Unchanged lines around a change, as everywhere. */
const CONTEXT_LINES = 3;

interface Side {
  entry: Entry | undefined;
  /** Undefined where it is no text; empty where there is nothing. */
  text: string | undefined;
}

/** Throws `not_found` when neither tree has `path`, or one leaves it out by its rules. */
export function diffText(
  path: BytePath,
  { before, after }: { before: TreeReader; after: TreeReader },
): TextDiff {
  const old = findEntry(before, path);
  const now = findEntry(after, path);
  const about = {
    ...shown(path),
    ...(old && { size_before: old.size }),
    ...(now && { size_after: now.size }),
  };
  if (!old && !now)
    throw new ObserverError("not_found", `Neither side has ${about.path}`, {
      detail: { path: about.path },
    });
  for (const entry of [old, now]) expectHeld(path, entry);
  if ([old, now].some((entry) => entry && entry.type !== "file" && entry.type !== "symlink"))
    return { ...about, text: null, reason: "not_a_file" };
  if ([old, now].some((entry) => (entry?.size ?? 0) > TEXT_BYTES_MAX))
    return { ...about, text: null, reason: "too_large" };
  const sides = [sideOf(before, path, old), sideOf(after, path, now)] as const;
  if (sides.some((side) => side.text === undefined))
    return { ...about, text: null, reason: "binary" };
  const text = unified(path, sides);
  return text === undefined
    ? { ...about, text: null, reason: "too_different" }
    : { ...about, text };
}

function expectHeld(path: BytePath, entry: Entry | undefined): void {
  if (!entry?.skip) return;
  throw new ObserverError(
    "not_found",
    `Cannot compare ${shown(path).path}: it is left out (${entry.skip.reason})`,
  );
}

function sideOf(tree: TreeReader, path: BytePath, entry: Entry | undefined): Side {
  if (!entry) return { entry, text: "" };
  if (entry.type === "symlink") return { entry, text: `${shown(entry.target ?? "").path}\n` };
  const pieces: Buffer[] = [];
  let bytes = 0;
  for (const piece of tree.content(path, entry)) {
    // A piece is valid until the next one; a living file may have grown since it was listed.
    pieces.push(Buffer.from(piece));
    if ((bytes += piece.length) > TEXT_BYTES_MAX) return { entry, text: undefined };
  }
  return { entry, text: textOf(Buffer.concat(pieces)) };
}

function textOf(bytes: Buffer): string | undefined {
  if (bytes.includes(0)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Empty where nothing differs; undefined where the two have too little in common. */
function unified(path: BytePath, [before, after]: readonly [Side, Side]): string | undefined {
  const patch = structuredPatch("", "", before.text ?? "", after.text ?? "", "", "", {
    context: CONTEXT_LINES,
    timeout: COMPARE_MS_MAX,
  });
  if (!patch) return undefined;
  if (patch.hunks.length === 0) return "";
  const [from, to] = [headOf("a", path, before), headOf("b", path, after)];
  return `--- ${from}\n+++ ${to}\n${formatPatch(patch, OMIT_HEADERS)}`;
}

/** As git writes names: those with a line break or a quote in them as one quoted word. */
function headOf(side: "a" | "b", path: BytePath, { entry }: Side): string {
  if (!entry) return "/dev/null";
  const name = `${side}/${shown(path).path}`;
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return /["\\\u0000-\u001f\u007f]/.test(name) ? JSON.stringify(name) : name;
}
