// Request bodies: read with a limit, unpacked with a limit, decoded strictly.

import { promisify } from "node:util";
import { gunzip, zstdDecompress } from "node:zlib";
import { messageOf, ObserverError } from "../core/errors.ts";
import { formatSize } from "../core/units.ts";
import { HttpError } from "./problem.ts";

const unpackGzip = promisify(gunzip);
const unpackZstd = promisify(zstdDecompress);
/** Larger bodies are not read to their end; their senders may see a broken connection. */
const DISCARDED_BYTES_MAX = 128 * 1024 * 1024;
/** Longer than any pause of a loopback sender under load, short enough for who only declared a size. */
const DISCARD_PAUSE_MS = 500;
const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * The body as text, at most `bytesMax` long on the wire and unpacked. Throws `too_large`; `invalid` for bytes
 * that are not UTF-8 or not what Content-Encoding says; `HttpError` 415 for an unknown encoding. A caller that
 * hangs up half-way ends in `invalid` too, so that half a body never counts.
 */
export async function readText(request: Request, bytesMax: number): Promise<string> {
  const packed = await readBytes(request, bytesMax);
  const encoding = request.headers.get("content-encoding");
  const bytes = encoding === null ? packed : await unpack(packed, { encoding, bytesMax });
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new ObserverError("invalid", "Cannot read body: it is not UTF-8", { cause });
  }
}

async function readBytes(request: Request, bytesMax: number): Promise<Uint8Array> {
  const declared = request.headers.get("content-length");
  if (declared !== null && Number(declared) > bytesMax) {
    if (Number(declared) <= DISCARDED_BYTES_MAX) await discard(request);
    throw tooLarge(bytesMax);
  }
  try {
    // With a declared length the server hands over exactly that much.
    return declared === null ? await readStream(request, bytesMax) : await request.bytes();
  } catch (cause) {
    if (cause instanceof ObserverError) throw cause;
    throw new ObserverError("invalid", `Cannot read body: ${messageOf(cause)}`, { cause });
  }
}

/**
 * Reads what is not wanted: a caller that is cut off while it sends sees a broken pipe instead of the answer.
 * One that pauses is not waited for.
 */
async function discard(request: Request): Promise<void> {
  const reader = request.body?.getReader();
  if (!reader) return;
  for (let more = true; more;) {
    const chunk = reader.read().then(
      ({ done }) => !done,
      () => false, // The caller hung up; nobody waits for the answer.
    );
    const { promise: paused, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), DISCARD_PAUSE_MS);
    more = await Promise.race([chunk, paused]);
    clearTimeout(timer);
  }
}

async function readStream(request: Request, bytesMax: number): Promise<Uint8Array> {
  if (request.body === null) return new Uint8Array(0);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body) {
    length += chunk.length;
    if (length > bytesMax) throw tooLarge(bytesMax);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

function tooLarge(bytesMax: number): ObserverError {
  return new ObserverError("too_large", `Body is larger than ${formatSize(bytesMax)}`, {
    detail: { limit_bytes: bytesMax },
  });
}

async function unpack(
  bytes: Uint8Array,
  { encoding, bytesMax }: { encoding: string; bytesMax: number },
): Promise<Uint8Array> {
  const name = encoding.trim().toLowerCase();
  if (name === "identity" || name === "") return bytes;
  const unpacker = name === "gzip" || name === "x-gzip" ? unpackGzip : unpackZstd;
  if (unpacker === unpackZstd && name !== "zstd") {
    throw new HttpError(
      { status: 415, code: "content_encoding" },
      "Cannot read body: Content-Encoding must be gzip, zstd or identity",
      { headers: { "accept-encoding": "gzip, zstd, identity" } },
    );
  }
  try {
    return await unpacker(bytes, { maxOutputLength: bytesMax });
  } catch (cause) {
    if ((cause as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(bytesMax);
    throw new ObserverError("invalid", `Cannot unpack body: it is not ${name}`, { cause });
  }
}
