// Reads the kernel's log for kills: first what was written before observer started, then each line as it comes.

import { closeSync, readSync } from "node:fs";
import { messageOf } from "../../core/errors.ts";
import {
  type KmsgRecord,
  openKmsg,
  parseKmsg,
  parseOomConstraint,
  parseOomLine,
} from "../../kernel/kmsg.ts";
import { EPOLL, type Watch, type Watcher } from "../../kernel/watcher.ts";
import type { Log } from "../../telemetry/log.ts";
import { createLoggedKills, type LoggedKill } from "./oom-proof.ts";

/** Longest record that the kernel hands out. */
const RECORD_BYTES = 8 * 1024;
/** The kernel's buffer holds some thousands; more is a flood, and the rest comes through the watch. */
const BACKLOG_MAX = 200_000;
/** Without the waiting thread the log is read this often. */
const POLL_MS = 1_000;

export interface KmsgDeps {
  watcher: Watcher | null;
  log: Log;
  /** `atMonotonicMs`: when the waiting thread read it (`monotonicMs`); null when it was read by polling. */
  onKill(kill: LoggedKill, atMonotonicMs: number | null): void;
}

export interface KmsgWatch {
  /** Why nothing is read; null when the log is followed. */
  reason: string | null;
  /** Kills that the log held already, oldest first. */
  backlog: LoggedKill[];
  /** Number of the newest record at the start; null when the log was empty. */
  newestSeq: number | null;
  stop(): void;
}

/** Never throws: a host without a readable log has other proofs. */
export function watchKmsg(deps: KmsgDeps): KmsgWatch {
  const takeRecord = createLoggedKills({
    parseLine: parseOomLine,
    parseConstraint: parseOomConstraint,
  });
  let fd: number;
  try {
    fd = openKmsg("start");
  } catch (thrown) {
    return { reason: messageOf(thrown), backlog: [], newestSeq: null, stop: () => undefined };
  }
  const backlog: LoggedKill[] = [];
  let newestSeq: number | null = null;
  readWaiting(fd, (record) => {
    newestSeq = record.seq;
    const kill = takeRecord(record);
    if (kill) backlog.push(kill);
  });
  const take = (chunk: Uint8Array, atMs: number | null): void => {
    const record = parseKmsg(chunk);
    const kill = record && takeRecord(record);
    if (kill) deps.onKill(kill, atMs);
  };
  return { reason: null, backlog, newestSeq, stop: follow(fd, take, deps) };
}

/** Returns the function that ends it and closes the file. */
function follow(
  fd: number,
  take: (chunk: Uint8Array, atMs: number | null) => void,
  { watcher, log }: KmsgDeps,
): () => void {
  try {
    const watch: Watch | undefined = watcher?.watch(fd, {
      events: EPOLL.IN,
      drain: true,
      onWake({ chunks, atMs, lost, ended }) {
        if (lost > 0) log.warn("records of the kernel's log were overwritten unread", { lost });
        if (ended) log.warn("the kernel's log gives nothing any more");
        for (const chunk of chunks) take(chunk, atMs);
      },
    });
    if (watch) return () => watch.cancel();
  } catch (thrown) {
    log.warn("the kernel's log is polled", { reason: messageOf(thrown) });
  }
  const timer = setInterval(() => readWaiting(fd, null, (chunk) => take(chunk, null)), POLL_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
    closeSync(fd);
  };
}

/** Takes what the log holds now, without waiting for more. */
function readWaiting(
  fd: number,
  onRecord: ((record: KmsgRecord) => void) | null,
  onChunk?: (chunk: Uint8Array) => void,
): void {
  const buffer = new Uint8Array(RECORD_BYTES);
  for (let records = 0; records < BACKLOG_MAX; records += 1) {
    let length: number;
    try {
      length = readSync(fd, buffer, 0, RECORD_BYTES, null);
    } catch (thrown) {
      // Overwritten while it was read: the next read goes on behind the gap.
      if ((thrown as { code?: unknown }).code === "EPIPE") continue;
      return;
    }
    if (length === 0) return;
    const chunk = buffer.subarray(0, length);
    onChunk?.(chunk);
    const record = onRecord && parseKmsg(chunk);
    if (record) onRecord(record);
  }
}
