// One limit that agents share, or the host where they have none: what is in use, how fast it fills, how long it lasts.

import { type CgroupVersion, readMemory, readUsage } from "../../kernel/cgroup-memory.ts";
import { readHostMemory } from "../../kernel/host-memory.ts";
import { HALF, type Level } from "./levels.ts";
import { createFillRate, timeToLimitMs } from "./time-to-limit.ts";

/** A cgroup whose limit counts; null: the host. */
export interface LimitedCgroup {
  directory: string;
  version: CgroupVersion;
  limitBytes: number;
}

export interface Use {
  /** Without page cache that can be dropped. */
  usedBytes: number;
  limitBytes: number;
  bytesPerS: number;
  /** Null when it does not fill. */
  timeToLimitMs: number | null;
}

export interface MemoryTarget {
  readonly limit: LimitedCgroup | null;
  /** Reads it. `exact`: whatever it costs. Null when it is gone. */
  look(atMs: number, exact: boolean): Use | null;
  /** The kernel's word that `bytes`, with page cache, were in use then. */
  note(atMs: number, bytes: number): void;
  /** What was seen last. */
  use(): Use | null;
}

export function createMemoryTarget(limit: LimitedCgroup | null): MemoryTarget {
  let use: Use | null = null;
  // Page cache that can be dropped, as of the last exact look: it costs ten times as much to read.
  let droppableBytes = 0;
  const limitBytes = limit?.limitBytes ?? readHostMemory()?.totalBytes ?? 0;
  const rate = createFillRate(limitBytes);

  const usedNow = (exact: boolean): number | null => {
    if (limit === null) {
      const host = readHostMemory();
      return host && host.totalBytes - host.availableBytes;
    }
    const { directory, version } = limit;
    const usage = readUsage(directory, version);
    if (usage === null) return null;
    const guess = Math.max(0, usage - droppableBytes);
    if (!exact && guess < HALF * limitBytes) return guess;
    const memory = readMemory(directory, version);
    if (memory === null) return null;
    droppableBytes = memory.usageBytes - memory.workingSetBytes;
    return memory.workingSetBytes;
  };

  return {
    limit,
    look(atMs, exact) {
      const usedBytes = limitBytes > 0 ? usedNow(exact) : null;
      if (usedBytes === null) return (use = null);
      rate.add({ atMs, bytes: usedBytes });
      const bytesPerS = rate.bytesPerS();
      const leftMs = timeToLimitMs(limitBytes - usedBytes, bytesPerS);
      return (use = { usedBytes, limitBytes, bytesPerS, timeToLimitMs: leftMs });
    },
    note: (atMs, bytes) => rate.add({ atMs, bytes: Math.max(0, bytes - droppableBytes) }),
    use: () => use,
  };
}

/** The level that was told, and when it may be told again. */
export interface Told {
  level: Level | null;
  atMs: number;
  usedBytes: number;
  /** Since when less than this level holds; null: it holds. */
  milderSinceMs: number | null;
}
