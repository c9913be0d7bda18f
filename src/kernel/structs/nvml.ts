// Structures of NVIDIA's management library (nvml.h, API 11 and later); natural alignment of 64-bit hosts.

export interface GpuMemory {
  totalBytes: number;
  freeBytes: number;
  usedBytes: number;
}

export interface GpuProcess {
  /** As the host's first pid namespace counts. */
  pid: number;
  /** Null where the driver does not know. */
  usedBytes: number | null;
}

/** nvmlMemory_t { u64 total, free, used; } */
export const MEMORY_BYTES = 24;
/** nvmlUtilization_t { u32 gpu, memory; } */
export const UTILISATION_BYTES = 8;
/** nvmlProcessInfo_v2_t, which _v3 of the call also takes: { u32 pid; u64 usedGpuMemory; u32 gpuInstanceId, computeInstanceId; } */
export const PROCESS_BYTES = 24;
const PROCESS_USED_AT = 8;
/** NVML_VALUE_NOT_AVAILABLE. */
const NOT_AVAILABLE = 0xffff_ffff_ffff_ffffn;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function readMemoryInfo(bytes: Uint8Array): GpuMemory {
  const view = viewOf(bytes);
  const number = (at: number): number => Number(view.getBigUint64(at, true));
  return { totalBytes: number(0), freeBytes: number(8), usedBytes: number(16) };
}

/** Per cent of the last second in which the GPU computed. */
export function readUtilisation(bytes: Uint8Array): number {
  return viewOf(bytes).getUint32(0, true);
}

export function readProcesses(bytes: Uint8Array, count: number): GpuProcess[] {
  const view = viewOf(bytes);
  return Array.from({ length: count }, (_, index) => {
    const at = index * PROCESS_BYTES;
    const used = view.getBigUint64(at + PROCESS_USED_AT, true);
    return {
      pid: view.getUint32(at, true),
      usedBytes: used === NOT_AVAILABLE ? null : Number(used),
    };
  });
}

/** A text that the library wrote, up to its NUL. */
export function readText(bytes: Uint8Array): string {
  const nul = bytes.indexOf(0);
  return new TextDecoder().decode(nul < 0 ? bytes : bytes.subarray(0, nul));
}
