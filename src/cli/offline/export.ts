// `checkpoint restore --to DIR`: content is read from the data directory and written as the caller.

import { join } from "node:path";
import { exportTo } from "../../checkpoints/export-to.ts";
import { ObserverError } from "../../core/errors.ts";
import { readCheckpointRow } from "../../store/checkpoint-rows.ts";
import type { ExportReport, ExportRequest } from "../local.ts";

/** @throws ObserverError `not_found` when the daemon that named the checkpoint keeps its data elsewhere. */
export async function exportCheckpoint(request: ExportRequest): Promise<ExportReport> {
  const { id, dataDir } = request;
  // The row says where the content lies; the API keeps that to itself. Who may read the content may read the row.
  const checkpoint = readCheckpointRow(dataDir, id);
  if (checkpoint === null) {
    throw new ObserverError(
      "not_found",
      `Cannot export checkpoint ${id}: it is not in "${dataDir}"; name its data directory with --data`,
    );
  }
  return await exportTo({
    checkpointsDirectory: join(dataDir, "checkpoints"),
    checkpoint,
    target: request.to,
    ...(request.path === undefined ? {} : { path: request.path }),
  });
}
