// Memory of the whole machine, or of what a container shows as it.

import { readKernelTable } from "./kernel-file.ts";

const BYTES_PER_KIB = 1024;

export interface HostMemory {
  totalBytes: number;
  /** What could be had without swapping, by the kernel's estimate. */
  availableBytes: number;
  swapTotalBytes: number;
  swapFreeBytes: number;
}

/** Null where it cannot be read. */
export function readHostMemory(path = "/proc/meminfo"): HostMemory | null {
  const table = readKernelTable(path);
  const totalKib = table?.get("MemTotal");
  const availableKib = table?.get("MemAvailable");
  if (totalKib === undefined || availableKib === undefined) return null;
  return {
    totalBytes: totalKib * BYTES_PER_KIB,
    availableBytes: availableKib * BYTES_PER_KIB,
    swapTotalBytes: (table?.get("SwapTotal") ?? 0) * BYTES_PER_KIB,
    swapFreeBytes: (table?.get("SwapFree") ?? 0) * BYTES_PER_KIB,
  };
}

/** Processes that the kernel killed for want of memory since boot, of any cgroup; null before Linux 4.13. */
export function readHostOomKills(path = "/proc/vmstat"): number | null {
  return readKernelTable(path)?.get("oom_kill") ?? null;
}
