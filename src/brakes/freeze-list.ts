// The list on disk of all that is stopped or about to be: what outlives observer and its guardian.

import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from "node:fs";
import type { ProcessId } from "../core/agent.ts";
import { messageOf, ObserverError } from "../core/errors.ts";
import { codeOf } from "../kernel/kernel-file.ts";
import { parseTarget, type Target } from "./target.ts";

const VERSION = 1;
/** 10,000 stopped processes; whatever is larger was not written by us. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;

export interface FreezeEntry {
  /** `armed`: announced, may have begun. `freeze`: begun. `lease`: a pause. */
  kind: "armed" | "freeze" | "lease";
  target: Target;
  sinceMs: number;
  /** When it has to be over, milliseconds since the epoch. */
  untilMs: number;
}

export interface FreezeFile {
  /** Entries of another boot mean nothing: their processes are gone. */
  bootId: string;
  /** The guardian of the observer that wrote it. */
  guardian: ProcessId | null;
  entries: FreezeEntry[];
}

/** The file; null when there is none, or why it cannot be used. Never throws. */
export type FreezeListRead = FreezeFile | null | { unusable: string };

export function readFreezeList(path: string): FreezeListRead {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    return codeOf(error) === "ENOENT" ? null : { unusable: messageOf(error) };
  }
  try {
    const stat = fstatSync(fd);
    const unusable = !stat.isFile()
      ? "no regular file"
      : stat.uid !== process.geteuid?.()
        ? `belongs to uid ${stat.uid}`
        : (stat.mode & 0o022) !== 0
          ? "may be written by others"
          : stat.size > FILE_BYTES_MAX
            ? "too large"
            : null;
    return unusable === null ? parseFreezeList(readFileSync(fd, "utf8")) : { unusable };
  } catch (error) {
    return { unusable: messageOf(error) };
  } finally {
    closeSync(fd);
  }
}

/** All or nothing: a file that holds one line that we did not write is not ours. */
export function parseFreezeList(text: string): FreezeFile | { unusable: string } {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return { unusable: "is no JSON" };
  }
  if (typeof value !== "object" || value === null || value["version"] !== VERSION)
    return { unusable: "has another version" };
  const bootId = value["boot_id"];
  const list = value["entries"];
  if (typeof bootId !== "string" || !Array.isArray(list)) return { unusable: "has another shape" };
  const entries = list.map(entryOf);
  if (!entries.every((entry) => entry !== null)) return { unusable: "has another shape" };
  // A guardian that cannot be named only lives a little longer.
  const guardian = parseTarget({ ...GUARDIAN_AS_TARGET, root: value["guardian"] })?.root ?? null;
  return { bootId, guardian, entries };
}

const GUARDIAN_AS_TARGET = { agent: "", method: "SIGSTOP", path: null, processes: [] };

function entryOf(value: unknown): FreezeEntry | null {
  if (typeof value !== "object" || value === null) return null;
  const row = value as Record<string, unknown>;
  const { kind, since_ms: sinceMs, until_ms: untilMs } = row;
  const target = parseTarget(row["target"]);
  if (kind !== "armed" && kind !== "freeze" && kind !== "lease") return null;
  if (!target || typeof sinceMs !== "number" || typeof untilMs !== "number") return null;
  return { kind, target, sinceMs, untilMs };
}

function textOf({ bootId, guardian, entries }: FreezeFile): string {
  const rows = entries.map(({ kind, target, sinceMs, untilMs }) => ({
    kind,
    target,
    since_ms: sinceMs,
    until_ms: untilMs,
  }));
  return `${JSON.stringify({ version: VERSION, boot_id: bootId, guardian, entries: rows })}\n`;
}

/**
 * Replaces the whole file, 0600; a reader sees the old one or the new one. `durable` syncs it first. Entries matter
 * within one boot only, in which the page cache is as good as the disk: syncing keeps a power cut from leaving half a
 * file, so it is for leases, and never in the way of a freeze. Throws `ObserverError` `no_space`, `not_permitted`, `failed`.
 */
export function writeFreezeList(path: string, file: FreezeFile, durable: boolean): void {
  const temporary = `${path}.new`;
  try {
    const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
    const fd = openSync(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
    try {
      const bytes = Buffer.from(textOf(file));
      for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
      if (durable) fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    const code = codeOf(error);
    throw new ObserverError(
      code === "ENOSPC" || code === "EDQUOT"
        ? "no_space"
        : code === "EACCES" || code === "EPERM" || code === "EROFS"
          ? "not_permitted"
          : "failed",
      `Cannot write ${path}: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** Puts a file that cannot be used aside, for a person to look at; the one before it goes. Where it is now, or null. */
export function setAside(path: string): string | null {
  try {
    renameSync(path, `${path}.unusable`);
    return `${path}.unusable`;
  } catch {
    return null;
  }
}

/** End of an agent's lease; null when the file knows of none, undefined when the file cannot tell. */
export function leaseEndIn(
  read: FreezeListRead,
  { agent, bootId }: { agent: string; bootId: string },
): number | null | undefined {
  if (read === null || "unusable" in read || read.bootId !== bootId) return undefined;
  const lease = read.entries.find(({ kind, target }) => kind === "lease" && target.agent === agent);
  return lease?.untilMs ?? null;
}
