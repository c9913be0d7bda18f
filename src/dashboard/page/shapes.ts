// The rows of the API as the page reads them; only the fields that it shows.

import type { Severity } from "../../core/interruption.ts";

export interface EventRow {
  id: string;
  kind: string;
  time: string;
  source: string;
  session_id: string | null;
  agent: string | null;
  workspace: string | null;
  [field: string]: unknown;
}

export interface SessionRow {
  id: string;
  host: string;
  agent: string | null;
  workspace: string | null;
  pid: number | null;
  started_at: string;
  last_at?: string;
  ended_at: string | null;
  end_reason: string | null;
  events: number;
  tool_calls: number;
  errors: number;
  tokens: { input: number; output: number; cache_read: number; cache_write: number };
  cost_usd: number;
  unpriced_calls: number;
}

export interface InterruptionRow {
  id: string;
  type: string;
  severity: Severity;
  host: string;
  session_id: string | null;
  agent: string | null;
  workspace: string | null;
  time: string;
  detected_ms: number;
  summary: string;
  detail: Record<string, unknown>;
  evidence: string[];
  count: number;
  first_time: string;
  last_time: string;
  resolved_at: string | null;
}

export interface ReactionRow {
  id: string;
  interruption_id: string;
  kind: string;
  status: string;
  reason: string;
  session_id?: string | null;
  started_at: string;
  duration_ms: number | null;
  detail: Record<string, unknown>;
}

export interface CheckpointRow {
  id: string;
  workspace: string;
  backend: string;
  kind: string;
  reason: string;
  label: string | null;
  interruption_id: string | null;
  session_id: string | null;
  agent: string | null;
  created_at: string;
  duration_ms: number | null;
  files: number | null;
  bytes: number | null;
  verified: boolean;
  pinned: boolean;
  parent_id: string | null;
  status: string;
  error?: string | null;
  skipped: { path: string; reason: string; listed_only?: boolean }[];
  warnings: string[];
}

export interface ChangeRow {
  path: string;
  change: "added" | "modified" | "deleted" | "renamed";
  type?: string;
  from?: string;
  size_before?: number;
  size_after?: number;
  what?: string[];
}

export interface RestoreRow {
  checkpoint_id: string;
  workspace: string;
  status: "done" | "planned";
  safety_id: string | null;
  changes: ChangeRow[];
  untouched: number;
  duration_ms: number;
  warnings: string[];
}

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

/** What protects the workspaces; shown where an answer carries it. */
export interface Protection {
  armed?: boolean;
  workspaces?: { path: string; backend: string | null; reason?: string }[];
}

export interface VersionRow {
  version: string;
  commit: string;
  host?: string;
  protection?: Protection;
}
