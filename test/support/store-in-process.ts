// The store backend without a helper process: what tests call hundreds of times.

import { systemClock } from "../../src/core/clock.ts";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import { createStoreBackend } from "../../src/checkpoints/store/backend.ts";
import { storeIn } from "../../src/checkpoints/store/layout.ts";
import { verifyStored } from "../../src/checkpoints/store/verify.ts";
import { identityOf } from "../../src/checkpoints/workspace.ts";
import { newId } from "../../src/core/ids.ts";
import { checkpointRow } from "./checkpoint-row.ts";
import type { Kit } from "./checkpoint-kit.ts";

const RULES = {
  exclude: [],
  defaultExcludes: true,
  fileBytesMax: 1e9,
  filesMax: 1e6,
  totalBytesMax: 1e10,
};

/** Saves the kit's workspace and lists it. */
export function saveInProcess({ directory, workspace, rows }: Kit): Checkpoint {
  const backend = createStoreBackend({
    directory,
    lockWaitMs: 10_000,
    now: () => systemClock.now(),
  });
  const id = newId();
  const saved = backend.create({
    id,
    workspace: { path: workspace, identity: identityOf(workspace) },
    rules: RULES,
    include: new Set(),
    keepFreeBytes: 0,
  });
  const row = checkpointRow({ ...saved, id, workspace, createdMs: systemClock.now() });
  rows.insert(row);
  return row;
}

export function problemsOf({ directory }: Kit, row: Checkpoint): string[] {
  return verifyStored(storeIn(directory), row).problems;
}

/** What is damaged of all that is listed, by checkpoint. */
export function damageOf(kit: Kit): Record<string, string[]> {
  return Object.fromEntries(
    kit.rows
      .list({ status: ["ok", "partial"] })
      .map((row) => [row.id, problemsOf(kit, row)] as const)
      .filter(([, problems]) => problems.length > 0),
  );
}
