// Interruptions: written in the transaction of the events that caused them.

import type { Database } from "bun:sqlite";
import type { Interruption, InterruptionType, Severity } from "../core/interruption.ts";
import { insertStatement, type Row, updateStatement } from "./database.ts";
import type { Listing } from "./list-rows.ts";

const COLUMNS = [
  "id",
  "type",
  "severity",
  "host",
  "fingerprint",
  "session_id",
  "agent",
  "workspace",
  "pid",
  "time_ms",
  "detected_ms",
  "summary",
  "detail",
  "evidence",
  "count",
  "first_ms",
  "last_ms",
  "resolved_ms",
] as const;

function toRow(it: Interruption): Row {
  return {
    id: it.id,
    type: it.type,
    severity: it.severity,
    host: it.host,
    fingerprint: it.fingerprint,
    session_id: it.sessionId,
    agent: it.agent,
    workspace: it.workspace,
    pid: it.pid,
    time_ms: it.timeMs,
    detected_ms: it.detectedMs,
    summary: it.summary,
    detail: JSON.stringify(it.detail),
    evidence: JSON.stringify(it.evidence),
    count: it.count,
    first_ms: it.firstMs,
    last_ms: it.lastMs,
    resolved_ms: it.resolvedMs,
  };
}

function fromRow(row: Record<string, unknown>): Interruption {
  return {
    id: row["id"] as string,
    type: row["type"] as InterruptionType,
    severity: row["severity"] as Severity,
    host: row["host"] as string,
    fingerprint: row["fingerprint"] as string,
    sessionId: row["session_id"] as string | null,
    agent: row["agent"] as string | null,
    workspace: row["workspace"] as string | null,
    pid: row["pid"] as number | null,
    timeMs: row["time_ms"] as number,
    detectedMs: row["detected_ms"] as number,
    summary: row["summary"] as string,
    detail: JSON.parse(row["detail"] as string) as Record<string, unknown>,
    evidence: JSON.parse(row["evidence"] as string) as string[],
    count: row["count"] as number,
    firstMs: row["first_ms"] as number,
    lastMs: row["last_ms"] as number,
    resolvedMs: row["resolved_ms"] as number | null,
  };
}

export const INTERRUPTION_LISTING: Listing<Interruption> = {
  table: "interruptions",
  timeColumn: "time_ms",
  read: fromRow,
  fields: {
    id: { column: "id", type: "text" },
    type: { column: "type", type: "text" },
    severity: { column: "severity", type: "text" },
    host: { column: "host", type: "text" },
    session_id: { column: "session_id", type: "text" },
    agent: { column: "agent", type: "text" },
    workspace: { column: "workspace", type: "text" },
    pid: { column: "pid", type: "number" },
    time: { column: "time_ms", type: "time" },
    detected_ms: { column: "(detected_ms - time_ms)", type: "number" },
    summary: { column: "summary", type: "text" },
    count: { column: "count", type: "number" },
    first_time: { column: "first_ms", type: "time" },
    last_time: { column: "last_ms", type: "time" },
    resolved_at: { column: "resolved_ms", type: "time" },
  },
};

export function createInterruptionRows(database: Database) {
  const insert = insertStatement(database, "interruptions", COLUMNS);
  const update = updateStatement(database, "interruptions", COLUMNS);
  const byId = database.prepare("SELECT * FROM interruptions WHERE id = ?");
  const open = database.prepare(
    "SELECT * FROM interruptions WHERE resolved_ms IS NULL AND last_ms >= ? ORDER BY row",
  );
  return {
    insert: (it: Interruption): void => void insert.run(toRow(it)),
    update: (it: Interruption): void => void update.run(toRow(it)),
    get: (id: string): Interruption | null => {
      const row = byId.get(id) as Record<string, unknown> | null;
      return row ? fromRow(row) : null;
    },
    /** Unresolved ones that were seen again at or after `sinceMs`, oldest first. */
    open: (sinceMs: number): Interruption[] =>
      (open.all(sinceMs) as Record<string, unknown>[]).map(fromRow),
  };
}
