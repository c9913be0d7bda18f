// The guardian as its own program, for tests that have no compiled binary.

import { runGuardian } from "../../src/brakes/guardian.ts";

// argv: bun, this file, the verb, then its own arguments.
process.exitCode = await runGuardian(process.argv.slice(3));
