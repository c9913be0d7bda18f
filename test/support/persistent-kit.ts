// A checkpoint service whose rows are in a file, so that another process can go on where a killed one was.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createCheckpointService } from "../../src/checkpoints/service.ts";
import type { CheckpointRows } from "../../src/core/checkpoint.ts";
import { systemClock } from "../../src/core/clock.ts";
import { createCheckpointRows } from "../../src/store/checkpoint-rows.ts";
import { openDatabase } from "../../src/store/database.ts";
import { createLog } from "../../src/telemetry/log.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { HELPER } from "./checkpoint-kit.ts";

export interface PersistentKit {
  workspace: string;
  directory: string;
  rows: CheckpointRows;
  service: ReturnType<typeof createCheckpointService>;
  logged: string[];
  /** The two in turn, for ever. */
  turns(first: string, second: string): Generator<string>;
  close(): Promise<void>;
}

export function openKit(root: string): PersistentKit {
  const workspace = join(root, "workspace");
  const directory = join(root, "data", "checkpoints");
  mkdirSync(workspace, { recursive: true });
  const database = openDatabase({ directory: join(root, "data"), durability: "normal" });
  const rows = createCheckpointRows(database);
  const logged: string[] = [];
  const log = createLog({
    level: "debug",
    json: true,
    now: () => systemClock.now(),
    write: (line) => void logged.push(line),
  });
  const service = createCheckpointService(
    { directory, host: "test-host", helperCommand: HELPER },
    { rows, clock: systemClock, log, metrics: createMetrics() },
  );
  return {
    workspace,
    directory,
    rows,
    service,
    logged,
    *turns(first, second) {
      for (;;) {
        yield first;
        yield second;
      }
    },
    async close() {
      await service.stop();
      database.close();
    },
  };
}
