// Checkpoints: one row each, kept after their content is deleted.

import { Database, type SQLQueryBindings } from "bun:sqlite";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type {
  BackendName,
  Checkpoint,
  CheckpointKind,
  CheckpointRows,
  CheckpointStatus,
  SkippedPath,
} from "../core/checkpoint.ts";
import { DATABASE_NAME, insertStatement, type Row, updateStatement } from "./database.ts";
import type { Listing } from "./list-rows.ts";

const COLUMNS = [
  "id",
  "host",
  "workspace",
  "backend",
  "kind",
  "reason",
  "label",
  "interruption_id",
  "session_id",
  "agent",
  "created_ms",
  "duration_ms",
  "files",
  "bytes",
  "verified",
  "pinned",
  "parent_id",
  "status",
  "skipped",
  "warnings",
  "ref",
  "identity",
  "error",
] as const;

function toRow(it: Checkpoint): Row {
  return {
    id: it.id,
    host: it.host,
    workspace: it.workspace,
    backend: it.backend,
    kind: it.kind,
    reason: it.reason,
    label: it.label,
    interruption_id: it.interruptionId,
    session_id: it.sessionId,
    agent: it.agent,
    created_ms: it.createdMs,
    duration_ms: it.durationMs,
    files: it.files,
    bytes: it.bytes,
    verified: it.verified ? 1 : 0,
    pinned: it.pinned ? 1 : 0,
    parent_id: it.parentId,
    status: it.status,
    skipped: JSON.stringify(it.skipped),
    warnings: JSON.stringify(it.warnings),
    ref: it.ref,
    identity: it.identity,
    error: it.error,
  };
}

function fromRow(row: Record<string, unknown>): Checkpoint {
  const text = (name: string): string | null => row[name] as string | null;
  const number = (name: string): number | null => row[name] as number | null;
  return {
    id: row["id"] as string,
    host: row["host"] as string,
    workspace: row["workspace"] as string,
    backend: row["backend"] as BackendName,
    kind: row["kind"] as CheckpointKind,
    reason: row["reason"] as string,
    label: text("label"),
    interruptionId: text("interruption_id"),
    sessionId: text("session_id"),
    agent: text("agent"),
    createdMs: row["created_ms"] as number,
    durationMs: number("duration_ms"),
    files: number("files"),
    bytes: number("bytes"),
    verified: row["verified"] === 1,
    pinned: row["pinned"] === 1,
    parentId: text("parent_id"),
    status: row["status"] as CheckpointStatus,
    skipped: JSON.parse(row["skipped"] as string) as SkippedPath[],
    warnings: JSON.parse(row["warnings"] as string) as string[],
    ref: text("ref"),
    identity: text("identity"),
    error: text("error"),
  };
}

export const CHECKPOINT_LISTING: Listing<Checkpoint> = {
  table: "checkpoints",
  timeColumn: "created_ms",
  read: fromRow,
  fields: {
    id: { column: "id", type: "text" },
    host: { column: "host", type: "text" },
    workspace: { column: "workspace", type: "text" },
    backend: { column: "backend", type: "text" },
    kind: { column: "kind", type: "text" },
    reason: { column: "reason", type: "text" },
    label: { column: "label", type: "text" },
    interruption_id: { column: "interruption_id", type: "text" },
    session_id: { column: "session_id", type: "text" },
    agent: { column: "agent", type: "text" },
    created_at: { column: "created_ms", type: "time" },
    duration_ms: { column: "duration_ms", type: "number" },
    files: { column: "files", type: "number" },
    bytes: { column: "bytes", type: "number" },
    verified: { column: "verified", type: "boolean" },
    pinned: { column: "pinned", type: "boolean" },
    parent_id: { column: "parent_id", type: "text" },
    status: { column: "status", type: "text" },
    error: { column: "error", type: "text" },
  },
};

/** Enough for every surface that asks without a limit. */
const LIST_DEFAULT = 1_000;

export function createCheckpointRows(database: Database): CheckpointRows {
  const insert = insertStatement(database, "checkpoints", COLUMNS);
  const update = updateStatement(database, "checkpoints", COLUMNS);
  const read = (rows: unknown[]): Checkpoint[] => (rows as Record<string, unknown>[]).map(fromRow);
  return {
    insert: (it) => void insert.run(toRow(it)),
    update: (it) => void update.run(toRow(it)),
    get: (id) => read(database.query("SELECT * FROM checkpoints WHERE id = ?").all(id))[0] ?? null,
    byPrefix: (prefix) =>
      read(
        database
          .query("SELECT * FROM checkpoints WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2")
          .all(prefix),
      ),
    list({ workspace, status, includeDeleted, limit = LIST_DEFAULT }) {
      const where = includeDeleted ? [] : ["status <> 'deleted'"];
      const values: SQLQueryBindings[] = [];
      if (workspace !== undefined) {
        where.push("workspace = ?");
        values.push(workspace);
      }
      if (status) {
        where.push(`status IN (${status.map(() => "?").join(",")})`);
        values.push(...status);
      }
      const condition = where.length > 0 ? `WHERE ${where.join(" AND ")}` : "";
      const sql = `SELECT * FROM checkpoints ${condition} ORDER BY row DESC LIMIT ${limit}`;
      return read(database.query(sql).all(...values));
    },
  };
}

/** One row from outside the daemon, which may be running; null when `directory` holds no such row. */
export function readCheckpointRow(directory: string, id: string): Checkpoint | null {
  const path = join(directory, DATABASE_NAME);
  if (!existsSync(path)) return null;
  const database = new Database(path, { readonly: true });
  try {
    return createCheckpointRows(database).get(id);
  } finally {
    database.close();
  }
}
