// The kernel's own clock, the same in every thread and in the time stamps of its messages.

import { checked, libc } from "./libc.ts";

const CLOCK_MONOTONIC = 1;
const NS_PER_MS = 1e6;

// struct timespec on 64-bit hosts: { s64 sec; s64 nsec; }. The low words are enough for 136 years.
const time = new Uint32Array(new ArrayBuffer(16));

/** CLOCK_MONOTONIC in milliseconds, with fractions. Throws `SystemCallError`, and where there is no C library. */
export function monotonicMs(): number {
  checked("clock_gettime", libc().clock_gettime(CLOCK_MONOTONIC, time));
  return (time[0] ?? 0) * 1_000 + (time[2] ?? 0) / NS_PER_MS;
}
