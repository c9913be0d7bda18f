// Reactions: one row for every decision, completed when its outcome is known.

import type { Database } from "bun:sqlite";
import type { ReactionKind, ReactionRecord, ReactionStatus } from "../core/reaction.ts";
import { insertStatement, type Row, updateStatement } from "./database.ts";
import type { Listing } from "./list-rows.ts";

const COLUMNS = [
  "id",
  "interruption_id",
  "host",
  "kind",
  "status",
  "reason",
  "workspace",
  "session_id",
  "started_ms",
  "duration_ms",
  "detail",
] as const;

function toRow(it: ReactionRecord): Row {
  return {
    id: it.id,
    interruption_id: it.interruptionId,
    host: it.host,
    kind: it.kind,
    status: it.status,
    reason: it.reason,
    workspace: it.workspace,
    session_id: it.sessionId,
    started_ms: it.startedMs,
    duration_ms: it.durationMs,
    detail: JSON.stringify(it.detail),
  };
}

function fromRow(row: Record<string, unknown>): ReactionRecord {
  return {
    id: row["id"] as string,
    interruptionId: row["interruption_id"] as string,
    host: row["host"] as string,
    kind: row["kind"] as ReactionKind,
    status: row["status"] as ReactionStatus,
    reason: row["reason"] as string,
    workspace: row["workspace"] as string | null,
    sessionId: row["session_id"] as string | null,
    startedMs: row["started_ms"] as number,
    durationMs: row["duration_ms"] as number | null,
    detail: JSON.parse(row["detail"] as string) as Record<string, unknown>,
  };
}

export const REACTION_LISTING: Listing<ReactionRecord> = {
  table: "reactions",
  timeColumn: "started_ms",
  read: fromRow,
  fields: {
    id: { column: "id", type: "text" },
    interruption_id: { column: "interruption_id", type: "text" },
    host: { column: "host", type: "text" },
    kind: { column: "kind", type: "text" },
    status: { column: "status", type: "text" },
    reason: { column: "reason", type: "text" },
    workspace: { column: "workspace", type: "text" },
    session_id: { column: "session_id", type: "text" },
    started_at: { column: "started_ms", type: "time" },
    duration_ms: { column: "duration_ms", type: "number" },
  },
};

export function createReactionRows(database: Database) {
  const insert = insertStatement(database, "reactions", COLUMNS);
  const update = updateStatement(database, "reactions", COLUMNS);
  const byId = database.prepare("SELECT * FROM reactions WHERE id = ?");
  const unfinished = database.prepare("SELECT * FROM reactions WHERE status = 'pending'");
  return {
    insert: (it: ReactionRecord): void => void insert.run(toRow(it)),
    update: (it: ReactionRecord): void => void update.run(toRow(it)),
    get: (id: string): ReactionRecord | null => {
      const row = byId.get(id) as Record<string, unknown> | null;
      return row ? fromRow(row) : null;
    },
    /** Rows that a killed observer left pending. */
    unfinished: (): ReactionRecord[] =>
      (unfinished.all() as Record<string, unknown>[]).map(fromRow),
  };
}
