// `checkpoint restore --to DIR`: content is read from the data directory and written as the caller.

import { join } from "node:path";
import { exportTo } from "../../checkpoints/export-to.ts";
import type { BackendName, Checkpoint } from "../../core/checkpoint.ts";
import type { Json } from "../client.ts";
import type { ExportReport, ExportRequest } from "../local.ts";

export async function exportCheckpoint(request: ExportRequest): Promise<ExportReport> {
  const shown = await request.client.get(`/checkpoints/${encodeURIComponent(request.id)}`);
  return exportTo({
    checkpointsDirectory: join(request.dataDir, "checkpoints"),
    checkpoint: fromView(shown),
    target: request.to,
    ...(request.path === undefined ? {} : { path: request.path }),
  });
}

/** The parts of a row that reading its content needs, from what the API shows. */
function fromView(shown: Json): Checkpoint {
  const text = (name: string): string | null => (shown[name] ?? null) as string | null;
  return {
    id: shown["id"] as string,
    host: shown["host"] as string,
    workspace: shown["workspace"] as string,
    backend: shown["backend"] as BackendName,
    kind: shown["kind"] as Checkpoint["kind"],
    reason: text("reason") ?? "",
    label: text("label"),
    interruptionId: text("interruption_id"),
    sessionId: text("session_id"),
    agent: text("agent"),
    createdMs: Date.parse(text("created_at") ?? ""),
    durationMs: shown["duration_ms"] as number | null,
    files: shown["files"] as number | null,
    bytes: shown["bytes"] as number | null,
    verified: shown["verified"] === true,
    pinned: shown["pinned"] === true,
    parentId: text("parent_id"),
    status: shown["status"] as Checkpoint["status"],
    skipped: [],
    warnings: [],
    ref: text("ref"),
    identity: text("identity"),
    error: text("error"),
  };
}
