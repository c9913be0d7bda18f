// Asks the GPU driver in a process of its own, because a driver with a broken GPU may never answer.

import { existsSync } from "node:fs";
import { messageOf } from "../core/errors.ts";
import { type GpuReading, NVML_LIBRARIES, readGpus } from "./nvml.ts";

const OUTPUT_BYTES_MAX = 1_048_576;

/** What the helper process does: the reading as JSON on standard output. Returns the exit status. */
export async function runGpuHelper(): Promise<number> {
  await Bun.write(Bun.stdout, JSON.stringify(readGpus()));
  return 0;
}

/**
 * The GPUs of this host, asked by `command` (observer itself, as the helper), at most `timeoutMs`. Where there is no
 * driver nothing is started. Never throws.
 */
export async function readGpusApart(
  command: string[],
  { timeoutMs, libraries = NVML_LIBRARIES }: { timeoutMs: number; libraries?: readonly string[] },
): Promise<GpuReading> {
  if (!libraries.some((path) => existsSync(path))) return readGpus(libraries);
  try {
    const child = Bun.spawn(command, {
      stdio: ["ignore", "pipe", "ignore"],
      cwd: "/",
      env: {},
      timeout: timeoutMs,
      killSignal: "SIGKILL",
      maxBuffer: OUTPUT_BYTES_MAX,
    });
    // A process that hangs in the driver cannot be killed either, so its end is not waited for.
    const late = Promise.withResolvers<null>();
    const timer = setTimeout(() => late.resolve(null), timeoutMs);
    const text = await Promise.race([child.stdout.text(), late.promise]);
    clearTimeout(timer);
    if (text === null) return { gpus: [], reason: `the driver did not answer in ${timeoutMs} ms` };
    return JSON.parse(text) as GpuReading;
  } catch (thrown) {
    return { gpus: [], reason: `the helper that asks the driver failed: ${messageOf(thrown)}` };
  }
}
