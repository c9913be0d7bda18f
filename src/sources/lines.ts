// Lines of a file of any size, compressed or not, in bounded memory.

import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { PassThrough, type Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";

import { ObserverError, messageOf } from "../core/errors.ts";

/** Longest line that is read, in bytes; the largest real tool results are about a tenth of that. */
export const LINE_BYTES_MAX = 16 * 1024 * 1024;
const NEWLINE = 10;
const GZIP_MAGIC = [0x1f, 0x8b];
const ZSTD_MAGIC = [0x28, 0xb5, 0x2f, 0xfd];

/** A line, or why there is none at this place. `index` counts from 0. */
export type Line = { index: number; text: string } | { index: number; error: string };

/**
 * The lines of a file; empty ones are left out but counted. A line that is too long and a damaged end of a
 * compressed file are reported in their place.
 * @throws ObserverError `not_found`, `unsupported` (not a regular file) or `not_permitted`.
 */
export async function* readLines(
  path: string,
  options: { lineBytesMax?: number } = {},
): AsyncGenerator<Line> {
  const splitter = createSplitter(options.lineBytesMax ?? LINE_BYTES_MAX);
  const stream = await openStream(path);
  try {
    for await (const chunk of stream) yield* splitter.push(chunk as Buffer);
  } catch (thrown) {
    yield* splitter.end();
    yield { index: splitter.index(), error: `Cannot read "${path}" further: ${messageOf(thrown)}` };
    return;
  } finally {
    stream.destroy();
  }
  yield* splitter.end();
}

async function openStream(path: string): Promise<Readable> {
  const magic = await firstBytes(path);
  const file = createReadStream(path);
  const starts = (bytes: number[]): boolean => bytes.every((byte, index) => magic[index] === byte);
  if (!starts(GZIP_MAGIC) && !starts(ZSTD_MAGIC)) return file;
  const out = new PassThrough();
  const unpack = starts(GZIP_MAGIC) ? createGunzip() : createZstdDecompress();
  // The reader of `out` gets the error: pipeline destroys it with what went wrong.
  void pipeline(file, unpack, out).catch(() => {});
  return out;
}

async function firstBytes(path: string): Promise<Buffer> {
  try {
    // Looked at before it is opened: opening a FIFO would wait for a writer.
    if (!(await stat(path)).isFile()) {
      throw new ObserverError("unsupported", `Cannot read "${path}": not a regular file`);
    }
    const file = await open(path, "r");
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (thrown) {
    if (thrown instanceof ObserverError) throw thrown;
    const code = (thrown as { code?: string }).code;
    const meaning = code === "ENOENT" || code === "ENOTDIR" ? "not_found" : "not_permitted";
    throw new ObserverError(meaning, `Cannot read "${path}": ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
}

interface Splitter {
  push(chunk: Buffer): Generator<Line>;
  end(): Generator<Line>;
  index(): number;
}

function createSplitter(lineBytesMax: number): Splitter {
  let parts: Buffer[] = [];
  let bytes = 0;
  let index = 0;

  const add = (part: Buffer): void => {
    bytes += part.length;
    // Of a line that is too long only the length is kept.
    if (bytes > lineBytesMax) parts = [];
    else parts.push(part);
  };
  const take = (): Line | null => {
    const line = bytes > lineBytesMax ? tooLong() : decoded();
    parts = [];
    bytes = 0;
    index += 1;
    return line;
  };
  const tooLong = (): Line => ({
    index,
    error: `line of ${bytes} bytes, at most ${lineBytesMax} are read`,
  });
  const decoded = (): Line | null => {
    // TextDecoder replaces bytes that are not UTF-8 and drops a byte order mark.
    const text = new TextDecoder().decode(Buffer.concat(parts)).trim();
    return text === "" ? null : { index, text };
  };

  return {
    *push(chunk) {
      let start = 0;
      for (;;) {
        const end = chunk.indexOf(NEWLINE, start);
        if (end < 0) break;
        add(chunk.subarray(start, end));
        const line = take();
        if (line) yield line;
        start = end + 1;
      }
      if (start < chunk.length) add(chunk.subarray(start));
    },
    *end() {
      if (bytes === 0) return;
      const line = take();
      if (line) yield line;
    },
    index: () => index,
  };
}
