// Remembers live agents in the database, for a restart. A database that refuses must not keep agents from being found.

import type { Agent, ProcessId } from "../../core/agent.ts";
import { messageOf } from "../../core/errors.ts";
import { runSessionId } from "../../core/run.ts";
import type { AgentRow, AgentRows } from "../../store/agent-rows.ts";
import type { Log } from "../../telemetry/log.ts";
import type { AgentRecord } from "./record.ts";
import { NO_TIES, type SessionTies, sessionOf } from "./ties.ts";

export interface Memory {
  keep(record: AgentRecord): void;
  forget(process: ProcessId & { boot: string }): void;
  /** Those that lived when observer last knew. */
  all(): AgentRow[];
}

/** Trouble is logged: the worst of it is an agent whose end during a restart is not told. */
export function createMemory({
  rows,
  boot,
  log,
}: {
  rows: AgentRows;
  boot: string;
  log: Log;
}): Memory {
  const attempt = <T>(what: string, otherwise: T, run: () => T): T => {
    try {
      return run();
    } catch (thrown) {
      log.warn(`agents cannot be ${what}`, { error: messageOf(thrown) });
      return otherwise;
    }
  };
  return {
    keep: (record) => attempt("remembered", undefined, () => rows.put(rowOf(record, boot))),
    forget: (process) => attempt("forgotten", undefined, () => rows.remove(process)),
    all: () => attempt("recalled", [], () => rows.all()),
  };
}

function rowOf({ agent, ruleKind, ties }: AgentRecord, boot: string): AgentRow {
  const { pid, startTicks, kind, startedMs, uid, sessionId, workspace, runId } = agent;
  const { cgroups, ownCgroup } = agent;
  return {
    boot,
    pid,
    startTicks,
    kind,
    ruleKind,
    startedMs,
    uid,
    sessionId,
    sessionProven: sessionOf(ties)?.proven ?? false,
    workspace,
    runId,
    cgroups,
    ownCgroup,
  };
}

/** As far as the row knows it; `agent` null when it is gone. */
export function recordOf(row: AgentRow, agent: Agent | null): AgentRecord {
  return {
    agent: agent ?? goneAgent(row),
    ruleKind: row.ruleKind,
    // Of a run that was not named the two are the same, unless no rule knows its program.
    isNamed: row.runId !== null && row.kind !== row.ruleKind,
    runAbove: null,
    ties: tiesOf(row),
    endedMs: null,
    isTold: false,
    orphansSeen: false,
  };
}

/** Weaker than whatever is learned anew: the time of a tie is not kept. */
function tiesOf({ sessionId, sessionProven, runId }: AgentRow): SessionTies {
  if (sessionId === null) return { ...NO_TIES };
  const tie = { sessionId, atMs: 0 };
  if (runId !== null && sessionId === runSessionId(runId)) return { ...NO_TIES, run: tie };
  return sessionProven ? { ...NO_TIES, child: tie } : { ...NO_TIES, event: tie };
}

function goneAgent(row: AgentRow): Agent {
  const { pid, startTicks, kind, startedMs, uid, sessionId, workspace, runId } = row;
  const { cgroups, ownCgroup } = row;
  return {
    id: `${pid}-${startTicks}`,
    pid,
    startTicks,
    kind,
    startedMs,
    uid,
    cwd: null,
    command: "",
    sessionId,
    workspace,
    runId,
    cgroups,
    ownCgroup,
  };
}
