// Builds a real checkpoint service in a temporary directory, and looks at trees exactly.

import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CheckpointOptions } from "../../src/checkpoints/service-parts.ts";
import { createCheckpointService } from "../../src/checkpoints/service.ts";
import type { Checkpoint, CheckpointRows } from "../../src/core/checkpoint.ts";
import { systemClock } from "../../src/core/clock.ts";
import { createLog } from "../../src/telemetry/log.ts";
import { createMetrics, type Metrics } from "../../src/telemetry/metrics.ts";

export const HELPER = [
  process.execPath,
  Bun.fileURLToPath(import.meta.resolve("./checkpoint-helper.ts")),
];

/** Rows in memory, in the order that the store promises. */
export function createRows(): CheckpointRows {
  const rows = new Map<string, Checkpoint>();
  return {
    insert: (row) => void rows.set(row.id, row),
    update: (row) => void rows.set(row.id, row),
    get: (id) => rows.get(id) ?? null,
    byPrefix: (prefix) => [...rows.values()].filter((row) => row.id.startsWith(prefix)).slice(0, 2),
    list: ({ workspace, status, includeDeleted, limit }) =>
      [...rows.values()]
        .toReversed()
        .filter((row) => workspace === undefined || row.workspace === workspace)
        .filter((row) => status === undefined || status.includes(row.status))
        .filter((row) => includeDeleted === true || row.status !== "deleted")
        .slice(0, limit),
  };
}

export interface Kit {
  root: string;
  workspace: string;
  directory: string;
  rows: CheckpointRows;
  metrics: Metrics;
  logged: string[];
  service: ReturnType<typeof createCheckpointService>;
  /** Another service on the same data, as after a restart. */
  restarted(options?: Partial<CheckpointOptions>): ReturnType<typeof createCheckpointService>;
  remove(): void;
}

export function createKit(
  options: Partial<CheckpointOptions> & { root?: string; workspace?: string } = {},
): Kit {
  const root = options.root ?? mkdtempSync(join(tmpdir(), "observer-checkpoints-"));
  const workspace = options.workspace ?? join(root, "workspace");
  const directory = join(root, "data", "checkpoints");
  mkdirSync(workspace, { recursive: true });
  const rows = createRows();
  const metrics = createMetrics();
  const logged: string[] = [];
  const log = createLog({
    level: "debug",
    json: true,
    now: () => systemClock.now(),
    write: (line) => void logged.push(line),
  });
  const { root: _root, workspace: _workspace, ...rest } = options;
  const restarted = (more: Partial<CheckpointOptions> = {}) =>
    createCheckpointService(
      { directory, host: "test-host", helperCommand: HELPER, ...rest, ...more },
      { rows, clock: systemClock, log, metrics },
    );
  return {
    root,
    workspace,
    directory,
    rows,
    metrics,
    logged,
    service: restarted(),
    restarted,
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** Every path below `top` with all that a restore promises; names as Latin-1 of their bytes. */
export function snapshotOf(
  top: string,
  options: { directoryTimes?: boolean } = {},
): Record<string, string> {
  const found: Record<string, string> = {};
  const look = (path: Buffer, name: string): void => {
    const stat = lstatSync(path, { bigint: true });
    const time = stat.isDirectory() && options.directoryTimes === false ? "" : String(stat.mtimeNs);
    const facts = [stat.mode.toString(8), stat.uid, stat.gid, time];
    if (stat.isSymbolicLink())
      facts.push(readlinkSync(path, { encoding: "buffer" }).toString("latin1"));
    else if (stat.isFile()) facts.push(Bun.hash(readFileSync(path)).toString(16), stat.size);
    found[name] = facts.join(" ");
    if (!stat.isDirectory()) return;
    for (const child of readdirSync(path, { encoding: "buffer" }))
      look(Buffer.concat([path, Buffer.from("/"), child]), `${name}/${child.toString("latin1")}`);
  };
  look(Buffer.from(top), ".");
  return found;
}

/** What a promise was rejected with; undefined when it was not. */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return undefined;
}
