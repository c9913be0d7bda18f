// Tries to brake an agent as a user who may not, and prints the errors: for tests.

import type { Agent } from "../../src/core/agent.ts";
import { ObserverError } from "../../src/core/errors.ts";
import { startBrakes } from "./brakes-kit.ts";

async function codeOf(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await work;
    return { code: "none", message: "" };
  } catch (error) {
    if (!(error instanceof ObserverError)) throw error;
    return { code: error.code, message: error.message };
  }
}

async function main(agent: Agent): Promise<void> {
  await using kit = await startBrakes();
  const pause = await codeOf(kit.brakes.pause(agent, 1_000));
  const kill = await codeOf(kit.brakes.kill(agent, 10));
  await Bun.write(Bun.stdout, JSON.stringify({ pause, kill }));
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? "") as Agent);
