// Entry: runs the command line, or the helper that this program starts itself as, and sets the exit status.

import { runGuardian } from "./brakes/guardian.ts";
import { runCheckpointHelper } from "./checkpoints/helper.ts";
import { runCli } from "./cli/cli.ts";
import { createIo } from "./cli/io.ts";
import { createLocal } from "./cli/offline/local.ts";
import { runGpuHelper } from "./kernel/gpu-helper.ts";
import { systemClock } from "./core/clock.ts";

async function main(argv: string[]): Promise<number> {
  if (argv[0] === "__checkpoint") return runCheckpointHelper();
  if (argv[0] === "__gpus") return runGpuHelper();
  if (argv[0] === "__guardian") return runGuardian(argv.slice(1));
  const io = createIo(process.env, systemClock);
  const status = await runCli(argv, io, createLocal(io));
  await io.flush();
  return status;
}

process.exit(await main(process.argv.slice(2)));
