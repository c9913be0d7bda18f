// An observer that stops an agent and is then killed: brakes as a program of their own, for tests.

import { writeFileSync } from "node:fs";
import { createBrakes } from "../../src/brakes/brakes.ts";
import type { Agent } from "../../src/core/agent.ts";
import { systemClock } from "../../src/core/clock.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { createFakeLog } from "./clock.ts";
import { GUARDIAN_COMMAND, nameFor } from "./brakes-kit.ts";

/** What it is told as its one argument. */
export interface DriverOrder {
  directory: string;
  agent: Agent;
  /** `reflex`: performs the steps itself, as the waiting thread does, and never says that it did. */
  act: "freeze" | "reflex" | "pause";
  ms: number;
  /** A cgroup.procs file to enter first. */
  enter?: string;
}

async function drive(order: DriverOrder): Promise<void> {
  if (order.enter !== undefined) writeFileSync(order.enter, "0");
  const log = createFakeLog();
  const brakes = createBrakes(
    {
      dataDirectory: order.directory,
      name: nameFor(order.directory),
      guardianCommand: GUARDIAN_COMMAND,
    },
    {
      clock: systemClock,
      log,
      metrics: createMetrics(),
    },
  );
  await brakes.start();
  if (order.act === "freeze") {
    if (brakes.freeze(order.agent, order.ms) === null)
      throw new Error(`not frozen: ${log.lines.join("; ")}`);
  } else if (order.act === "pause") {
    await brakes.pause(order.agent, order.ms);
  } else {
    for (const { fd, bytes } of brakes.reflex(order.agent, order.ms)?.steps ?? [])
      writeFileSync(fd, bytes);
  }
  await Bun.write(Bun.stdout, "done\n");
  await Bun.sleep(60_000);
}

if (import.meta.main) await drive(JSON.parse(process.argv[2] ?? "") as DriverOrder);
