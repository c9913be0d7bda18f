// The agents that lived when observer last knew: what it needs to know them again after a restart.

import type { Database, Statement } from "bun:sqlite";
import type { CgroupDirectories, ProcessId } from "../core/agent.ts";
import type { Row } from "./database.ts";

/** One agent as it is remembered. What can be read from /proc again is not kept: its command line may hold secrets. */
export interface AgentRow extends ProcessId {
  /** First 8 characters of the boot id: pid and start time mean something in one boot only. */
  boot: string;
  kind: string;
  /** Kind that its command line says; null for a program of `observer run` that no rule knows. */
  ruleKind: string | null;
  startedMs: number;
  uid: number;
  sessionId: string | null;
  /** False when only a sender's claim ties it to that session. */
  sessionProven: boolean;
  workspace: string | null;
  runId: string | null;
  cgroups: CgroupDirectories;
  ownCgroup: boolean;
}

/** The few live agents; synchronous, each call is one small statement. */
export interface AgentRows {
  /** Replaces what is kept of it, but for its counter. */
  put(row: AgentRow): void;
  remove(process: ProcessId & { boot: string }): void;
  all(): AgentRow[];
  /** `oom_kill` counter of its cgroup as it was last seen; null when it never was. */
  oomKills(process: ProcessId & { boot: string }): number | null;
  /** Nothing when the agent is not kept. */
  setOomKills(process: ProcessId & { boot: string }, count: number): void;
}

const COLUMNS = [
  "boot",
  "pid",
  "start_ticks",
  "kind",
  "rule_kind",
  "started_ms",
  "uid",
  "session_id",
  "session_proven",
  "workspace",
  "run_id",
  "cgroup_unified",
  "cgroup_memory",
  "cgroup_memory_version",
  "cgroup_freezer",
  "own_cgroup",
] as const;

const KEY = "boot = $boot AND pid = $pid AND start_ticks = $start_ticks";

function toRow(it: AgentRow): Row {
  return {
    boot: it.boot,
    pid: it.pid,
    start_ticks: it.startTicks,
    kind: it.kind,
    rule_kind: it.ruleKind,
    started_ms: it.startedMs,
    uid: it.uid,
    session_id: it.sessionId,
    session_proven: it.sessionProven ? 1 : 0,
    workspace: it.workspace,
    run_id: it.runId,
    cgroup_unified: it.cgroups.unified,
    cgroup_memory: it.cgroups.memory,
    cgroup_memory_version: it.cgroups.memoryVersion,
    cgroup_freezer: it.cgroups.freezer,
    own_cgroup: it.ownCgroup ? 1 : 0,
  };
}

function fromRow(row: Record<string, unknown>): AgentRow {
  const text = (name: string): string | null => row[name] as string | null;
  return {
    boot: row["boot"] as string,
    pid: row["pid"] as number,
    startTicks: row["start_ticks"] as number,
    kind: row["kind"] as string,
    ruleKind: text("rule_kind"),
    startedMs: row["started_ms"] as number,
    uid: row["uid"] as number,
    sessionId: text("session_id"),
    sessionProven: row["session_proven"] === 1,
    workspace: text("workspace"),
    runId: text("run_id"),
    cgroups: {
      unified: text("cgroup_unified"),
      memory: text("cgroup_memory"),
      memoryVersion: row["cgroup_memory_version"] as 1 | 2 | null,
      freezer: text("cgroup_freezer"),
    },
    ownCgroup: row["own_cgroup"] === 1,
  };
}

function keyOf({ boot, pid, startTicks }: ProcessId & { boot: string }): Row {
  return { boot, pid, start_ticks: startTicks };
}

export function createAgentRows(database: Database): AgentRows {
  const names = COLUMNS.join(", ");
  const values = COLUMNS.map((column) => `$${column}`).join(", ");
  const sets = COLUMNS.slice(3).map((column) => `${column} = excluded.${column}`);
  const put: Statement = database.prepare(
    `INSERT INTO agents (${names}) VALUES (${values})
     ON CONFLICT (boot, pid, start_ticks) DO UPDATE SET ${sets.join(", ")}`,
  );
  const remove: Statement = database.prepare(`DELETE FROM agents WHERE ${KEY}`);
  const oomKills: Statement = database.prepare(`SELECT oom_kills FROM agents WHERE ${KEY}`);
  const setOomKills: Statement = database.prepare(
    `UPDATE agents SET oom_kills = $oom_kills WHERE ${KEY}`,
  );
  return {
    put: (row) => void put.run(toRow(row)),
    remove: (process) => void remove.run(keyOf(process)),
    all: () =>
      (
        database.query("SELECT * FROM agents ORDER BY rowid").all() as Record<string, unknown>[]
      ).map(fromRow),
    oomKills(process) {
      const row = oomKills.get(keyOf(process)) as { oom_kills: number | null } | null;
      return row?.oom_kills ?? null;
    },
    setOomKills: (process, count) => void setOomKills.run({ ...keyOf(process), oom_kills: count }),
  };
}
