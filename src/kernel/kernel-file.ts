// Reads and writes the small files of /proc and the cgroup file systems, whose size cannot be asked for.

import { closeSync, constants, openSync, readSync, writeSync } from "node:fs";
import { messageOf, ObserverError } from "../core/errors.ts";

/** One read takes most of them; the kernel hands out longer ones in pieces of about a page. */
const CHUNK_BYTES = 64 * 1024;
/** A list of a million pids; nothing that observer reads comes near. */
const TEXT_BYTES_MAX = 8 * 1024 * 1024;

// One for all reads: they are synchronous, and each copies what it keeps.
const shared = Buffer.alloc(CHUNK_BYTES);

/**
 * The first `bytesMax` bytes of the file. Null when it is not there, may not be read, or its process ended while
 * it was read: from outside these are one case, and never an error.
 */
export function readKernelBytes(path: string, bytesMax: number): Buffer | null {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    return null;
  }
  try {
    const pieces: Buffer[] = [];
    let length = 0;
    while (length < bytesMax) {
      const got = readSync(fd, shared, 0, Math.min(CHUNK_BYTES, bytesMax - length), null);
      if (got === 0) break;
      pieces.push(Buffer.from(shared.subarray(0, got)));
      length += got;
    }
    return pieces.length === 1 ? (pieces[0] ?? null) : Buffer.concat(pieces);
  } catch {
    return null;
  } finally {
    closeSync(fd);
  }
}

/** The whole file as text; null as for bytes. What is not UTF-8 becomes U+FFFD. */
export function readKernelText(path: string): string | null {
  return readKernelBytes(path, TEXT_BYTES_MAX)?.toString("utf8") ?? null;
}

/** A file that holds one number, in its own unit; null also when it holds anything else, such as `max`. */
export function readKernelNumber(path: string): number | null {
  const text = readKernelText(path)?.trim() ?? "";
  return /^\d+$/.test(text) ? Number(text) : null;
}

/** `name value` lines, as of memory.stat; a `:` after the name is dropped, so /proc/meminfo is one too. */
export function readKernelTable(path: string): Map<string, number> | null {
  const text = readKernelText(path);
  return text === null ? null : parseKernelTable(text);
}

/** Lines whose second field is no number are left out. */
export function parseKernelTable(text: string): Map<string, number> {
  const table = new Map<string, number>();
  for (const line of text.split("\n")) {
    const match = /^(\S+?):?\s+(\d+)/.exec(line);
    if (match?.[1] !== undefined) table.set(match[1], Number(match[2]));
  }
  return table;
}

/**
 * Hands `text` to the kernel in one write. Throws `ObserverError`: `not_permitted` when we may not, `unsupported`
 * when the file does not exist, `failed` with the kernel's reason otherwise.
 */
export function writeKernelFile(path: string, text: string): void {
  let fd: number | null = null;
  try {
    fd = openToWrite(path);
    writeSync(fd, text);
  } catch (error) {
    throw kernelFileError(`Cannot write ${JSON.stringify(text)} to ${path}`, error);
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

/** Opens what exists: a file of the kernel is never made. Throws the error of the system call. */
export function openToWrite(path: string): number {
  // Truncating means nothing to the kernel's files, but does to the plain ones of a fixture tree.
  return openSync(path, constants.O_WRONLY | constants.O_TRUNC);
}

const REASONS: Record<string, ["not_permitted" | "unsupported" | "failed" | "vanished", string]> = {
  EACCES: ["not_permitted", "it belongs to another user"],
  EPERM: ["not_permitted", "the kernel does not allow it"],
  EROFS: ["not_permitted", "the file system is mounted read-only"],
  ENOENT: ["unsupported", "it does not exist"],
  ENODEV: ["vanished", "its cgroup has been removed"],
  ESRCH: ["vanished", "the process has ended"],
  EOPNOTSUPP: ["unsupported", "this kind of cgroup cannot do it"],
  EINVAL: ["failed", "the kernel does not take this value"],
  EBUSY: ["failed", "it is in use"],
};

/** An `ObserverError` of a failed system call on a file, with the reason in words. */
export function kernelFileError(what: string, error: unknown): ObserverError {
  const code = codeOf(error);
  const [kind, reason] = REASONS[code] ?? ["failed", messageOf(error)];
  return new ObserverError(kind, `${what}: ${reason}${code ? ` (${code})` : ""}`, {
    cause: error,
    detail: { errno: code },
  });
}

/** `EBUSY` and the like; empty for what is no system error. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : "";
}
