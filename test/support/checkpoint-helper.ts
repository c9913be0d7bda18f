// The helper as its own program, for tests that have no compiled binary.

import { runCheckpointHelper } from "../../src/checkpoints/helper.ts";

process.exitCode = await runCheckpointHelper();
