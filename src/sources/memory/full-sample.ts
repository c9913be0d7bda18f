// What a cgroup whose limit was reached had in use: after the kill its present use says too little.

import { type CgroupVersion, readMemory, tightestLimit } from "../../kernel/cgroup-memory.ts";

/** What was in use when there was no more, and the limit. Bytes. */
export interface MemorySample {
  limitBytes: number;
  usageBytes: number;
}

/** Of the tightest limit that holds for the cgroup; null without one, and when it is gone. */
export function fullSample(directory: string, version: CgroupVersion): MemorySample | null {
  const limit = tightestLimit(directory, version);
  if (!limit) return null;
  const { limitBytes, usageBytes } = limit;
  const peakBytes = readMemory(limit.directory, version)?.peakBytes ?? usageBytes;
  return { limitBytes, usageBytes: Math.min(limitBytes, Math.max(peakBytes, usageBytes)) };
}
