// Watches over the configured workspaces: what is lost becomes a trouble, what is back ends it.

import { join } from "node:path";
import { createProtection } from "../checkpoints/protection.ts";
import type { Pipeline } from "../pipeline/pipeline.ts";
import type { Parts } from "./parts.ts";

/** Open ones of one workspace: there is one at most, unless the host was renamed. */
const OPEN_MAX = 10;

export function startProtection(
  { settings, store, checkpoints, notes, log, metrics }: Parts,
  pipeline: Pick<Pipeline, "resolve">,
): ReturnType<typeof createProtection> {
  return createProtection(
    {
      workspaces: settings.workspaces,
      armed: settings["reactive.enabled"],
      directory: join(settings.data_dir, "checkpoints"),
    },
    {
      service: checkpoints,
      rows: store.checkpointRows,
      log,
      metrics,
      tell: notes.tell,
      async resolve(workspace) {
        const filters = { type: "protection_lost", workspace, resolved_at: "null" };
        const { items } = await store.interruptions.list({ limit: OPEN_MAX, filters });
        for (const { id } of items) pipeline.resolve(id);
      },
    },
  );
}
