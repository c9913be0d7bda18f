// What the host has left: GPUs, memory, pressure, and room on the disks that observer and its workspaces are on.

import { statfs } from "node:fs/promises";
import { readHostMemory } from "../kernel/host-memory.ts";
import { readPressure } from "../kernel/psi.ts";
import type { ApiDeps } from "./deps.ts";

type View = Record<string, unknown>;

/** A file system that hangs must not hang the answer. */
const DISK_PATIENCE_MS = 500;

/** The body of `/vram`. What cannot be told is null. */
export async function hostResources(
  deps: Pick<ApiDeps, "gpus" | "settings" | "host">,
): Promise<View> {
  const { data_dir: data, workspaces } = deps.settings;
  const [{ gpus, reason }, [dataDisk, ...workspaceDisks]] = await Promise.all([
    deps.gpus(),
    Promise.all([data, ...workspaces].map(diskOf)),
  ]);
  return {
    host: deps.host,
    gpus: gpus.map(snakeCase),
    gpus_reason: reason,
    memory: memoryView(),
    pressure: {
      memory: pressureView("memory"),
      cpu: pressureView("cpu"),
      io: pressureView("io"),
    },
    disk: { data: dataDisk, workspaces: workspaceDisks },
  };
}

function memoryView(): View {
  const memory = readHostMemory();
  return {
    total_bytes: memory?.totalBytes ?? null,
    available_bytes: memory?.availableBytes ?? null,
    swap_total_bytes: memory?.swapTotalBytes ?? null,
    swap_free_bytes: memory?.swapFreeBytes ?? null,
  };
}

/** Share of the last 10 s, in percent, in which some or all work waited. Null where the kernel has no PSI. */
function pressureView(what: string): View | null {
  const pressure = readPressure(`/proc/pressure/${what}`);
  return pressure && { some_avg10: pressure.someAvg10, full_avg10: pressure.fullAvg10 };
}

async function diskOf(path: string): Promise<View> {
  const { promise: late, resolve } = Promise.withResolvers<null>();
  const timer = setTimeout(() => resolve(null), DISK_PATIENCE_MS);
  const found = await Promise.race([statfs(path).catch(() => null), late]);
  clearTimeout(timer);
  return {
    path,
    total_bytes: found && found.blocks * found.bsize,
    free_bytes: found && found.bavail * found.bsize,
  };
}

/** `totalBytes` as `total_bytes`, at every depth: the kernel layer's names as the API writes them. */
function snakeCase(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeCase);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]): [string, unknown] => [
      name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      snakeCase(inner),
    ]),
  );
}
