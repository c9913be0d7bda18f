// /dev/kmsg: the kernel's own log, where it names whom it killed for memory.

import { closeSync, constants, openSync } from "node:fs";
import { messageOf, ObserverError } from "../core/errors.ts";
import { checked, failedWith, libc } from "./libc.ts";

const PATH = "/dev/kmsg";
const O_CLOEXEC = 0x80000;
const SEEK_SET = 0;
const SEEK_END = 2;

export interface KmsgRecord {
  /** Counts all records since boot, without holes. */
  seq: number;
  /** Syslog level, 0 (emergency) to 7 (debug). */
  priority: number;
  /** False for what a program wrote into the log. */
  fromKernel: boolean;
  /** Microseconds of the log's own clock, which may trail CLOCK_MONOTONIC by seconds: order by `seq`, never by this. */
  atUs: number;
  text: string;
}

export interface OomKill {
  victimPid: number;
  /** Name of the victim's main thread, up to 15 bytes. */
  comm: string;
  /** The host ran out of memory; else a cgroup reached its limit. */
  global: boolean;
  anonRssBytes: number;
  totalVmBytes: number;
}

export interface OomConstraint {
  victimPid: number;
  uid: number;
  comm: string;
  global: boolean;
  /** Whose limit was reached, as a path in the memory hierarchy; null for the host. */
  limitCgroup: string | null;
  victimCgroup: string;
}

/**
 * The log, each read one record: from its oldest record, or only what comes from now on. Throws `ObserverError`
 * `unavailable` with the reason. A read says EPIPE when records were overwritten: then the next read goes on after the gap.
 */
export function openKmsg(from: "end" | "start", path: string = PATH): number {
  let fd = -1;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | O_CLOEXEC);
    checked("lseek", libc().lseek(fd, 0, from === "end" ? SEEK_END : SEEK_SET));
    return fd;
  } catch (thrown) {
    if (fd >= 0) closeSync(fd);
    const why = failedWith(thrown, "EPERM", "EACCES")
      ? "CAP_SYSLOG is missing, and kernel.dmesg_restrict is 1 or the file's mode does not let this user read"
      : failedWith(thrown, "ENOENT")
        ? "there is no such file, as in most containers"
        : messageOf(thrown);
    const detail = failedWith(thrown, "EPERM", "EACCES") ? {} : { fix: null };
    throw new ObserverError("unavailable", `${path}: ${why}`, { cause: thrown, detail });
  }
}

/** One record; null for what is none. Its first line only: `KEY=value` lines of devices follow. */
export function parseKmsg(chunk: Uint8Array): KmsgRecord | null {
  const record = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString("utf8");
  const match = /^(\d+),(\d+),(\d+),[^;]*;([^\n]*)/.exec(record);
  if (!match) return null;
  const prefix = Number(match[1]);
  return {
    seq: Number(match[2]),
    priority: prefix & 7,
    fromKernel: prefix >> 3 === 0,
    atUs: Number(match[3]),
    text: unescape(match[4] ?? ""),
  };
}

// What is not printable ASCII stands as \xNN, a backslash as \x5c.
function unescape(text: string): string {
  if (!text.includes("\\x")) return text;
  const bytes = text.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, "latin1").toString("utf8");
}

const BYTES_PER_KIB = 1_024;
const KILLED =
  /^(Memory cgroup out of memory|Out of memory)[^:]*: Killed process (\d+) \((.*)\) total-vm:(\d+)kB, anon-rss:(\d+)kB/s;

/** The line that the kernel writes for every victim. Only of a record that is `fromKernel`. */
export function parseOomLine(text: string): OomKill | null {
  const match = KILLED.exec(text);
  if (!match) return null;
  return {
    victimPid: Number(match[2]),
    comm: match[3] ?? "",
    global: match[1] === "Out of memory",
    totalVmBytes: Number(match[4]) * BYTES_PER_KIB,
    anonRssBytes: Number(match[5]) * BYTES_PER_KIB,
  };
}

const CONSTRAINT =
  /^oom-kill:constraint=\w+,.*?(?:,oom_memcg=(.*?)|(,global_oom)),task_memcg=(.*),task=(.*),pid=(\d+),uid=(\d+)$/s;

/** The line before it, which the kernel leaves out when there are more than ten kills in five seconds. Only of a record that is `fromKernel`. */
export function parseOomConstraint(text: string): OomConstraint | null {
  const match = CONSTRAINT.exec(text);
  if (!match) return null;
  return {
    victimPid: Number(match[5]),
    uid: Number(match[6]),
    comm: match[4] ?? "",
    global: match[2] !== undefined,
    limitCgroup: match[1] ?? null,
    victimCgroup: match[3] ?? "",
  };
}
