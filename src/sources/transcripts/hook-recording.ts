// Recorded hook inputs: `{"t": seconds since the start, "hook": name, "stdin": the hook's JSON}` on each line.

import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { gunzipSync, zstdDecompressSync } from "node:zlib";

import type { FileSource } from "../../core/contracts.ts";
import type { EventDraft } from "../../core/event.ts";
import { isFields, numberOf } from "../fields.ts";
import { parseClaudeCodeHook } from "../hooks/claude-code.ts";
import { parseJsonLine, someLine } from "../json-line.ts";
import { createLineIds } from "../line-id.ts";

/** The end of a file that is searched for its last line. */
const TAIL_BYTES = 1024 * 1024;
/** Compressed recordings are unpacked to find their end; larger ones are taken to end when they start. */
const UNPACKED_BYTES_MAX = 64 * 1024 * 1024;

/**
 * A recording holds no dates, so it is taken to have ended when its file was last written. Lines keep the hook's
 * own keys; those without get one from their text.
 */
export const hookRecording: FileSource = {
  name: "hook-recording",
  recognises: (lines) =>
    someLine(lines, (line) => typeof line["t"] === "number" && isFields(line["stdin"])),
  open: (path) => {
    const startMs = startOf(path);
    const idOf = createLineIds("recording");
    return { line: (text) => lineDrafts(text, { startMs, id: idOf(text) }), end: () => [] };
  },
};

function lineDrafts(text: string, at: { startMs: number | undefined; id: string }): EventDraft[] {
  const line = parseJsonLine(text);
  const offset = numberOf(line["t"]);
  return parseClaudeCodeHook(line["stdin"]).map((draft) => {
    const stamped: EventDraft = { id: at.id, ...draft };
    if (at.startMs !== undefined && offset !== undefined) {
      stamped.timeMs = Math.round(at.startMs + offset * 1_000);
    }
    return stamped;
  });
}

/** Milliseconds at which the recording began; undefined when there is no file (lines then come at receipt). */
function startOf(path: string): number | undefined {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return undefined;
  }
  try {
    const { mtimeMs, size } = fstatSync(file);
    return mtimeMs - lastOffset(lastLines(file, { path, size })) * 1_000;
  } finally {
    closeSync(file);
  }
}

function lastLines(file: number, { path, size }: { path: string; size: number }): string {
  const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
  if (/\.(?:gz|zst)$/.test(path)) return unpackedTail(path);
  const read = readSync(file, tail, 0, tail.length, size - tail.length);
  return tail.toString("utf8", 0, read);
}

function unpackedTail(path: string): string {
  const options = { maxOutputLength: UNPACKED_BYTES_MAX };
  try {
    const packed = readFileSync(path);
    const bytes = path.endsWith(".gz")
      ? gunzipSync(packed, options)
      : zstdDecompressSync(packed, options);
    return bytes.subarray(-TAIL_BYTES).toString("utf8");
  } catch {
    // Too large or damaged: reading the lines will tell; only the dates are off.
    return "";
  }
}

function lastOffset(tail: string): number {
  for (const line of tail.trimEnd().split("\n").reverse()) {
    try {
      const value: unknown = JSON.parse(line);
      const offset = isFields(value) ? numberOf(value["t"]) : undefined;
      if (offset !== undefined) return offset;
    } catch {
      // The first line of the tail is usually cut, and the last may be.
    }
  }
  return 0;
}
