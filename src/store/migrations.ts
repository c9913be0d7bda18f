// The schema, as ordered steps; each is applied in one transaction and recorded by `user_version`.

import type { Database } from "bun:sqlite";

// Events are narrow and append-only: no secondary index is kept up on the commit path (measured: two eager
// indices halve the ingest rate). `event_ids` and `postings` are filled in bulk behind a watermark instead.
const INITIAL = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  seq INTEGER PRIMARY KEY,
  id TEXT,
  kind TEXT NOT NULL,
  source TEXT NOT NULL,
  time_ms INTEGER NOT NULL,
  received_ms INTEGER NOT NULL,
  session_id TEXT,
  agent TEXT,
  workspace TEXT,
  pid INTEGER,
  host TEXT,
  digest INTEGER,
  data TEXT NOT NULL
) STRICT;

CREATE TABLE event_ids (
  key INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (key, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE postings (
  term TEXT NOT NULL,
  first_seq INTEGER NOT NULL,
  seqs BLOB NOT NULL,
  PRIMARY KEY (term, first_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE operation_totals (
  source TEXT PRIMARY KEY,
  successes INTEGER NOT NULL,
  failures INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
  row INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  host TEXT NOT NULL,
  agent TEXT,
  workspace TEXT,
  pid INTEGER,
  started_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL,
  ended_ms INTEGER,
  end_reason TEXT,
  events INTEGER NOT NULL,
  tool_calls INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  tokens_input INTEGER NOT NULL,
  tokens_output INTEGER NOT NULL,
  tokens_cache_read INTEGER NOT NULL,
  tokens_cache_write INTEGER NOT NULL,
  cost_usd REAL NOT NULL,
  unpriced_calls INTEGER NOT NULL
) STRICT;

CREATE TABLE interruptions (
  row INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL,
  severity TEXT NOT NULL,
  host TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  session_id TEXT,
  agent TEXT,
  workspace TEXT,
  pid INTEGER,
  time_ms INTEGER NOT NULL,
  detected_ms INTEGER NOT NULL,
  summary TEXT NOT NULL,
  detail TEXT NOT NULL,
  evidence TEXT NOT NULL,
  count INTEGER NOT NULL,
  first_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL,
  resolved_ms INTEGER
) STRICT;
CREATE INDEX interruptions_session ON interruptions (session_id);

CREATE TABLE reactions (
  row INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  interruption_id TEXT NOT NULL,
  host TEXT NOT NULL,
  kind TEXT NOT NULL,
  status TEXT NOT NULL,
  reason TEXT NOT NULL,
  workspace TEXT,
  session_id TEXT,
  started_ms INTEGER NOT NULL,
  duration_ms REAL,
  detail TEXT NOT NULL
) STRICT;
CREATE INDEX reactions_interruption ON reactions (interruption_id);

CREATE TABLE checkpoints (
  row INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  host TEXT NOT NULL,
  workspace TEXT NOT NULL,
  backend TEXT NOT NULL,
  kind TEXT NOT NULL,
  reason TEXT NOT NULL,
  label TEXT,
  interruption_id TEXT,
  session_id TEXT,
  agent TEXT,
  created_ms INTEGER NOT NULL,
  duration_ms REAL,
  files INTEGER,
  bytes INTEGER,
  verified INTEGER NOT NULL,
  pinned INTEGER NOT NULL,
  parent_id TEXT,
  status TEXT NOT NULL,
  skipped TEXT NOT NULL,
  warnings TEXT NOT NULL,
  ref TEXT,
  identity TEXT,
  error TEXT
) STRICT;
CREATE INDEX checkpoints_workspace ON checkpoints (workspace, row);
`;

// Agents that lived when observer last knew. `oom_kills`: the counter of their cgroup as it was last seen.
const AGENTS = `
CREATE TABLE agents (
  boot TEXT NOT NULL,
  pid INTEGER NOT NULL,
  start_ticks INTEGER NOT NULL,
  kind TEXT NOT NULL,
  rule_kind TEXT,
  started_ms INTEGER NOT NULL,
  uid INTEGER NOT NULL,
  session_id TEXT,
  session_proven INTEGER NOT NULL,
  workspace TEXT,
  run_id TEXT,
  cgroup_unified TEXT,
  cgroup_memory TEXT,
  cgroup_memory_version INTEGER,
  cgroup_freezer TEXT,
  own_cgroup INTEGER NOT NULL,
  oom_kills INTEGER,
  PRIMARY KEY (boot, pid, start_ticks)
) STRICT;
`;

const STEPS: readonly string[] = [INITIAL, AGENTS];

/**
 * Brings the schema up to date. Each step and its version number are one transaction, so a kill in the
 * middle leaves the step before. A database from a newer observer is refused rather than misread.
 */
export function migrate(database: Database): void {
  const row = database.query<{ user_version: number }, []>("PRAGMA user_version").get();
  const from = row?.user_version ?? 0;
  if (from > STEPS.length) {
    throw new Error(
      `Cannot open database: its schema ${from} is newer than ${STEPS.length}, which this observer knows`,
    );
  }
  for (const [index, sql] of STEPS.entries()) {
    if (index < from) continue;
    database.transaction(() => {
      database.run(sql);
      database.run(`PRAGMA user_version = ${index + 1}`);
    })();
  }
}
