// Importing files: finds out what a file is, and turns it into drafts line by line.

import { existsSync, statSync } from "node:fs";
import { join } from "node:path";

import type { FileSource } from "../core/contracts.ts";
import { ObserverError } from "../core/errors.ts";
import type { EventDraft } from "../core/event.ts";
import { FILE_SOURCES } from "./catalog.ts";
import { type Line, readLines } from "./lines.ts";

/** Lines that a format is recognised by; some files begin with records of other types. */
const FIRST_LINES_MAX = 20;
/** Stops the search for the format in files of few, very long lines, in UTF-16 units. */
const FIRST_LINES_LENGTH_MAX = 1024 * 1024;
/** What agent-strace names the events of a session's directory. */
const TRACE_FILE = "events.ndjson";

/** What became of one line, or of the end of the file (then `drafts` is what the parser held back). */
export interface ImportedLine {
  drafts: EventDraft[];
  /** Line number from 0. */
  index: number;
  error?: string;
}

/**
 * The source that reads a file.
 * @throws ObserverError `unsupported` when no source recognises its first lines.
 */
export function openFileSource(path: string, firstLines: string[]): FileSource {
  const source = FILE_SOURCES.find((candidate) => candidate.recognises(firstLines, path));
  if (source) return source;
  const names = FILE_SOURCES.map(({ name }) => name).join(", ");
  throw new ObserverError(
    "unsupported",
    `Cannot import "${path}": its first lines look like none of ${names}`,
  );
}

/**
 * Reads a file, plain, gzip or zstd, or an agent-strace session's directory. A bad line is reported and does
 * not stop the others. Memory is bounded by the longest line.
 * @throws ObserverError `not_found`, `unsupported` or `not_permitted` before the first line; nothing later.
 */
export async function* readDrafts(path: string): AsyncGenerator<ImportedLine> {
  const file = fileOf(path);
  const lines = readLines(file);
  const first = await firstLines(lines);
  if (first.length === 0) return;
  const texts = first.flatMap((line) => ("text" in line ? [line.text] : []));
  const parser = openFileSource(file, texts).open(file);
  let last = 0;
  const parse = (line: Line): ImportedLine => {
    last = line.index;
    return "error" in line ? { drafts: [], ...line } : parsed(parser, line);
  };
  for (const line of first) yield parse(line);
  for await (const line of lines) yield parse(line);
  const drafts = parser.end();
  if (drafts.length > 0) yield { drafts, index: last };
}

function fileOf(path: string): string {
  const inside = join(path, TRACE_FILE);
  const isDirectory = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  return isDirectory && existsSync(inside) ? inside : path;
}

async function firstLines(lines: AsyncGenerator<Line>): Promise<Line[]> {
  const first: Line[] = [];
  let length = 0;
  while (first.length < FIRST_LINES_MAX && length < FIRST_LINES_LENGTH_MAX) {
    const next = await lines.next();
    if (next.done) break;
    first.push(next.value);
    length += "text" in next.value ? next.value.text.length : 0;
  }
  return first;
}

function parsed(
  parser: ReturnType<FileSource["open"]>,
  { text, index }: { text: string; index: number },
): ImportedLine {
  try {
    return { drafts: parser.line(text, index), index };
  } catch (thrown) {
    // Only what the sender did wrong belongs to the line; anything else is a bug and must be seen.
    if (thrown instanceof ObserverError) return { drafts: [], index, error: thrown.message };
    throw thrown;
  }
}
