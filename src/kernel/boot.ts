// This boot of the machine: its id, when it was, and the units that the kernel counts in.

import { endianness } from "node:os";
import { readKernelBytes, readKernelText } from "./kernel-file.ts";

const MS_PER_S = 1_000;

// <linux/auxvec.h>: pairs of two machine words, ended by AT_NULL. 64-bit only, as all that observer is built for.
const AUX_ENTRY_BYTES = 16;
const AT_PAGESZ = 6;
const AT_CLKTCK = 17;
const AUX_BYTES_MAX = 4 * 1024;

// What x86-64 and arm64 kernels show to programs, for where /proc/self/auxv cannot be read.
const TICKS_PER_S = 100;
const PAGE_BYTES = 4 * 1024;

/** A new one at each boot; empty where it cannot be read. In a container it is the host's. */
export function bootId(): string {
  return readKernelText("/proc/sys/kernel/random/boot_id")?.trim() ?? "";
}

/**
 * When the machine was booted, milliseconds since the epoch. With the time of now it is right to 10 ms; without,
 * it is the kernel's own number, which is cut to the second.
 */
export function bootTimeMs(nowMs?: number): number {
  const up = nowMs === undefined ? null : uptimeMs();
  if (nowMs !== undefined && up !== null) return nowMs - up;
  const seconds = /^btime (\d+)$/m.exec(readKernelText("/proc/stat") ?? "")?.[1];
  return Number(seconds ?? 0) * MS_PER_S;
}

/** Since boot, with sleep, in steps of 10 ms: the time that `startTicks` counts in. Null without /proc. */
export function uptimeMs(): number | null {
  const seconds = /^\d+\.\d+/.exec(readKernelText("/proc/uptime") ?? "")?.[0];
  return seconds === undefined ? null : Math.round(Number(seconds) * MS_PER_S);
}

let auxiliary: Map<number, number> | undefined;

/** What `startTicks` and CPU times count in. */
export function ticksPerSecond(): number {
  return (auxiliary ??= readAuxiliary()).get(AT_CLKTCK) ?? TICKS_PER_S;
}

export function pageBytes(): number {
  return (auxiliary ??= readAuxiliary()).get(AT_PAGESZ) ?? PAGE_BYTES;
}

/** Milliseconds after boot of a number of ticks. */
export function ticksToMs(ticks: number): number {
  return (ticks * MS_PER_S) / ticksPerSecond();
}

function readAuxiliary(): Map<number, number> {
  const bytes = readKernelBytes("/proc/self/auxv", AUX_BYTES_MAX);
  return bytes && endianness() === "LE" ? parseAuxiliary(bytes) : new Map();
}

/** The auxiliary vector of a little-endian 64-bit program. */
export function parseAuxiliary(bytes: Uint8Array): Map<number, number> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const entries = new Map<number, number>();
  for (let at = 0; at + AUX_ENTRY_BYTES <= bytes.length; at += AUX_ENTRY_BYTES) {
    entries.set(Number(view.getBigUint64(at, true)), Number(view.getBigUint64(at + 8, true)));
  }
  return entries;
}
