// NVIDIA's GPUs, by the driver's own library: memory, use, temperature, power, and who holds memory.

import { dlopen, FFIType } from "bun:ffi";
import { existsSync } from "node:fs";
import { messageOf } from "../core/errors.ts";
import {
  type GpuMemory,
  type GpuProcess,
  MEMORY_BYTES,
  PROCESS_BYTES,
  readMemoryInfo,
  readProcesses,
  readText,
  readUtilisation,
  UTILISATION_BYTES,
} from "./structs/nvml.ts";

export interface Gpu {
  index: number;
  name: string;
  uuid: string;
  /** Null, as everything below, where this GPU or driver does not say. */
  memory: GpuMemory | null;
  /** Per cent of the last second in which it computed. */
  utilisationPercent: number | null;
  temperatureCelsius: number | null;
  powerWatts: number | null;
  processes: GpuProcess[];
}

export interface GpuReading {
  gpus: Gpu[];
  /** Why there are none; null when the driver answered. */
  reason: string | null;
}

/**
 * Where drivers, distributions and container runtimes put it. Absolute, because a bare name that the loader cannot
 * find is looked for in the working directory.
 */
export const NVML_LIBRARIES = [
  "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",
  "/usr/lib/aarch64-linux-gnu/libnvidia-ml.so.1",
  "/usr/lib64/libnvidia-ml.so.1",
  "/usr/lib/libnvidia-ml.so.1",
  "/usr/local/nvidia/lib64/libnvidia-ml.so.1",
  "/run/opengl-driver/lib/libnvidia-ml.so.1",
  "/usr/lib/wsl/lib/libnvidia-ml.so.1",
];

const { i32, u32, u64, ptr } = FFIType;
const ofDevice = { args: [u64, ptr], returns: i32 } as const;
const textOfDevice = { args: [u64, ptr, u32], returns: i32 } as const;
const processesOfDevice = { args: [u64, ptr, ptr], returns: i32 } as const;

function open(library: string) {
  return dlopen(library, {
    nvmlInit_v2: { args: [], returns: i32 },
    nvmlErrorString: { args: [i32], returns: FFIType.cstring },
    nvmlDeviceGetCount_v2: { args: [ptr], returns: i32 },
    nvmlDeviceGetHandleByIndex_v2: { args: [u32, ptr], returns: i32 },
    nvmlDeviceGetName: textOfDevice,
    nvmlDeviceGetUUID: textOfDevice,
    nvmlDeviceGetMemoryInfo: ofDevice,
    nvmlDeviceGetUtilizationRates: ofDevice,
    nvmlDeviceGetTemperature: { args: [u64, i32, ptr], returns: i32 },
    nvmlDeviceGetPowerUsage: ofDevice,
  }).symbols;
}

type Nvml = ReturnType<typeof open>;
type ListProcesses = (device: bigint, count: Uint8Array, into: Uint8Array) => number;

interface Driver {
  symbols: Nvml;
  /** Compute and graphics; fewer where the driver is old. */
  listProcesses: ListProcesses[];
}

/** Older drivers have only `_v2`, with the same structure; each is looked for apart, because one missing symbol fails a whole table. */
function openLists(library: string): ListProcesses[] {
  const compute = firstOf(
    () =>
      dlopen(library, { nvmlDeviceGetComputeRunningProcesses_v3: processesOfDevice }).symbols
        .nvmlDeviceGetComputeRunningProcesses_v3,
    () =>
      dlopen(library, { nvmlDeviceGetComputeRunningProcesses_v2: processesOfDevice }).symbols
        .nvmlDeviceGetComputeRunningProcesses_v2,
  );
  const graphics = firstOf(
    () =>
      dlopen(library, { nvmlDeviceGetGraphicsRunningProcesses_v3: processesOfDevice }).symbols
        .nvmlDeviceGetGraphicsRunningProcesses_v3,
    () =>
      dlopen(library, { nvmlDeviceGetGraphicsRunningProcesses_v2: processesOfDevice }).symbols
        .nvmlDeviceGetGraphicsRunningProcesses_v2,
  );
  return [...compute, ...graphics];
}

function firstOf<T>(...ways: (() => T)[]): T[] {
  for (const way of ways) {
    try {
      return [way()];
    } catch {
      // The next name.
    }
  }
  return [];
}

const drivers = new Map<string, Driver>();

/**
 * The GPUs of this host. The driver may take seconds, and hangs with a broken GPU: to be called where that holds up
 * nothing (`kernel/gpu-helper.ts`). Never throws.
 */
export function readGpus(libraries: readonly string[] = NVML_LIBRARIES): GpuReading {
  const library = libraries.find((path) => existsSync(path));
  if (library === undefined) {
    return { gpus: [], reason: "libnvidia-ml.so.1 is not installed: no NVIDIA driver" };
  }
  try {
    let driver = drivers.get(library);
    if (!driver) {
      driver = { symbols: open(library), listProcesses: openLists(library) };
      succeed(driver, "nvmlInit_v2", driver.symbols.nvmlInit_v2());
      drivers.set(library, driver);
    }
    return { gpus: readAll(driver), reason: null };
  } catch (thrown) {
    return { gpus: [], reason: messageOf(thrown) };
  }
}

function succeed({ symbols }: Driver, call: string, code: number): void {
  if (code !== 0) throw new Error(`${call}: ${String(symbols.nvmlErrorString(code))}`);
}

function readAll(driver: Driver): Gpu[] {
  const count = new Uint32Array(1);
  succeed(driver, "nvmlDeviceGetCount_v2", driver.symbols.nvmlDeviceGetCount_v2(count));
  return Array.from({ length: count[0] ?? 0 }, (_, index) => readOne(driver, index));
}

const TEXT_BYTES = 96;
const TEMPERATURE_OF_GPU = 0;
const MILLI = 1_000;

function readOne(driver: Driver, index: number): Gpu {
  const { symbols } = driver;
  const handle = new BigUint64Array(1);
  succeed(
    driver,
    "nvmlDeviceGetHandleByIndex_v2",
    symbols.nvmlDeviceGetHandleByIndex_v2(index, handle),
  );
  const device = handle[0] ?? 0n;
  const ask = (bytes: number, call: (into: Uint8Array) => number): Uint8Array | null => {
    const into = new Uint8Array(new ArrayBuffer(bytes));
    return call(into) === 0 ? into : null;
  };
  const text = (call: Nvml["nvmlDeviceGetName"]): string => {
    const bytes = ask(TEXT_BYTES, (into) => call(device, into, into.length));
    return bytes ? readText(bytes) : "";
  };
  const number = (call: (into: Uint8Array) => number): number | null => {
    const bytes = ask(4, call);
    return bytes && new DataView(bytes.buffer).getUint32(0, true);
  };
  const memory = ask(MEMORY_BYTES, (into) => symbols.nvmlDeviceGetMemoryInfo(device, into));
  const use = ask(UTILISATION_BYTES, (into) => symbols.nvmlDeviceGetUtilizationRates(device, into));
  const milliwatts = number((into) => symbols.nvmlDeviceGetPowerUsage(device, into));
  return {
    index,
    name: text(symbols.nvmlDeviceGetName),
    uuid: text(symbols.nvmlDeviceGetUUID),
    memory: memory && readMemoryInfo(memory),
    utilisationPercent: use && readUtilisation(use),
    temperatureCelsius: number((into) =>
      symbols.nvmlDeviceGetTemperature(device, TEMPERATURE_OF_GPU, into),
    ),
    powerWatts: milliwatts === null ? null : milliwatts / MILLI,
    processes: processesOf(driver, device),
  };
}

/** More processes than hold memory of one GPU. */
const PROCESSES_MAX = 1_024;

function processesOf({ listProcesses }: Driver, device: bigint): GpuProcess[] {
  const found = new Map<number, GpuProcess>();
  for (const list of listProcesses) {
    const into = new Uint8Array(new ArrayBuffer(PROCESSES_MAX * PROCESS_BYTES));
    const count = new Uint32Array([PROCESSES_MAX]);
    if (list(device, new Uint8Array(count.buffer), into) !== 0) continue;
    // One that computes and draws stands in both lists, with the same sum.
    for (const process of readProcesses(into, Math.min(count[0] ?? 0, PROCESSES_MAX)))
      found.set(process.pid, process);
  }
  return [...found.values()];
}
