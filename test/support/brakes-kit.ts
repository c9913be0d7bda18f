// Brakes under test, with a guardian that is a process of its own.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createBrakes, type RunningBrakes } from "../../src/brakes/brakes.ts";
import { ObserverError } from "../../src/core/errors.ts";
import { systemClock } from "../../src/core/clock.ts";
import { createMetrics, type Metrics } from "../../src/telemetry/metrics.ts";
import type { DriverOrder } from "./brakes-driver.ts";
import { createFakeLog } from "./clock.ts";

export const GUARDIAN_COMMAND = [
  process.execPath,
  join(import.meta.dir, "guardian-main.ts"),
  "__guardian",
];

export interface BrakesKit extends AsyncDisposable {
  brakes: RunningBrakes;
  metrics: Metrics;
  log: ReturnType<typeof createFakeLog>;
  directory: string;
}

/** Started. `directory` is kept when it is given. */
export async function startBrakes(
  given: { directory?: string; guardianCommand?: string[] } = {},
): Promise<BrakesKit> {
  const directory = given.directory ?? mkdtempSync(join(tmpdir(), "observer-brakes-"));
  const metrics = createMetrics();
  const log = createFakeLog();
  const brakes = createBrakes(
    {
      dataDirectory: directory,
      name: nameFor(directory),
      guardianCommand: given.guardianCommand ?? GUARDIAN_COMMAND,
    },
    { clock: systemClock, log, metrics },
  );
  await brakes.start();
  return {
    brakes,
    metrics,
    log,
    directory,
    async [Symbol.asyncDispose]() {
      await brakes.stop();
      if (given.directory === undefined) rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** As the root makes it: eight hex digits that stand for the directory. */
export function nameFor(directory: string): string {
  return `observer-${new Bun.CryptoHasher("sha256").update(directory).digest("hex").slice(0, 8)}`;
}

/** Starts an observer that does as it is told, and resolves when it has done so. */
export async function startDriver(order: DriverOrder): Promise<Bun.Subprocess> {
  const child = Bun.spawn(
    [process.execPath, join(import.meta.dir, "brakes-driver.ts"), JSON.stringify(order)],
    { stdin: "ignore", stdout: "pipe", stderr: "inherit", env: { PATH: "/usr/bin:/bin" } },
  );
  for await (const chunk of child.stdout) {
    if (new TextDecoder().decode(chunk).includes("done")) return child;
  }
  throw new Error("the driver ended before it was done");
}

/** Code of the ObserverError that `work` rejects with; `done` when it does not. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "done";
  } catch (error) {
    if (error instanceof ObserverError) return error.code;
    throw error;
  }
}
