// Keeps agents from their finding to their end: tells of both once, and remembers them over a restart.

import type { Agent } from "../../core/agent.ts";
import type { AgentRow } from "../../store/agent-rows.ts";
import type { Log } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { EventDraft } from "../../core/event.ts";
import { createEnds } from "./ends.ts";
import { type Exit, exitEvent, startEvent } from "./events.ts";
import type { Exits, HeldProcess } from "./exits.ts";
import type { Host } from "./host.ts";
import { type Memory, recordOf } from "./memory.ts";
import type { Outbox } from "./outbox.ts";
import type { AgentRecord } from "./record.ts";
import type { Records } from "./registry.ts";
import { type SessionTies, sessionOf } from "./ties.ts";

export const ENDED_UNSEEN = "ended while observer was not running";
/** A parent under `observer run` tells within this time after observer is back. */
const PARENT_PATIENCE_MS = 5_000;

export interface KeeperDeps {
  host: Host;
  records: Records;
  memory: Memory;
  outbox: Outbox;
  log: Log;
  metrics: Metrics;
  endedByUs(process: HeldProcess): boolean;
  exits(): Exits;
}

export interface BeginFacts {
  ruleKind: string | null;
  ties: SessionTies;
  isNamed: boolean;
}

export interface Keeper {
  /** A new agent: registered, held, told of. */
  begin(agent: Agent, facts: BeginFacts): AgentRecord;
  /** One that was kept over a restart; `agent` null when it is gone. */
  resume(row: AgentRow, agent: Agent | null): AgentRecord | null;
  /** Takes over other facts, and keeps them. */
  change(record: AgentRecord, facts: Partial<Agent>): void;
  /** The session that the ties say now. */
  retie(record: AgentRecord): void;
  end(process: HeldProcess, exit: Exit): void;
  /** Resolves when the end of the agent is stored. */
  whenTold(record: AgentRecord): Promise<void>;
  /** Of an agent that nobody saw alive: its parent tells its whole life at once. */
  tellWhole(record: AgentRecord, exit: Exit): void;
}

const NEW = { runAbove: null, endedMs: null, isTold: false, orphansSeen: false };

export function createKeeper(deps: KeeperDeps): Keeper {
  const { host, records, memory, outbox, log, metrics } = deps;
  /** Agents that were gone when observer came back. */
  const unseen = new Set<string>();
  const ends = createEnds(deps);

  const count = (): void => metrics.set("observer_agents", records.list().length);

  function add(record: AgentRecord): void {
    const { agent, ruleKind } = record;
    record.runAbove = runAbove(agent.pid, deps);
    records.add(record);
    const { startTicks } = agent;
    records.setMember(agent.pid, { startTicks, agentId: agent.id, kind: ruleKind, goneMs: null });
    count();
  }

  function change(record: AgentRecord, facts: Partial<Agent>): void {
    const before = record.agent;
    records.change(record, facts);
    if (record.agent !== before && record.endedMs === null) memory.keep(record);
  }

  return {
    change,
    begin(agent, facts) {
      const tied = sessionOf(facts.ties)?.sessionId ?? null;
      const sessionId = tied !== null && isForeign(tied, { agent, deps }) ? null : tied;
      const record: AgentRecord = { ...facts, ...NEW, agent: { ...agent, sessionId } };
      add(record);
      memory.keep(record);
      outbox.tell(startEvent(record, { boot: host.boot }));
      log.info("agent found", { agent: agent.kind, pid: agent.pid, uid: agent.uid });
      deps.exits().hold(agent);
      return record;
    },
    resume(row, agent) {
      const record = recordOf(row, agent);
      if (row.boot !== host.boot) {
        outbox.tell(earlierBoot(record, row.boot), () => memory.forget(row));
        return null;
      }
      add(record);
      if (agent === null) unseen.add(record.agent.id);
      deps.exits().hold(record.agent, row.runId === null ? {} : { patienceMs: PARENT_PATIENCE_MS });
      return record;
    },
    retie(record) {
      const sessionId = sessionOf(record.ties)?.sessionId ?? null;
      if (sessionId === null || sessionId === record.agent.sessionId) return;
      if (isForeign(sessionId, { agent: record.agent, deps })) return;
      change(record, { sessionId });
      log.info("agent's session is known", { pid: record.agent.pid, session: sessionId });
    },
    end(process, exit) {
      const record = records.record(process);
      if (record?.endedMs !== null) return;
      const wasUnseen = unseen.delete(record.agent.id);
      const told = exit.status === null ? unknownEnd(exit, wasUnseen) : exit;
      records.end(record);
      count();
      ends.tell(record, told);
    },
    whenTold: ends.whenTold,
    tellWhole(record, exit) {
      records.add(record);
      records.end(record);
      outbox.tell(startEvent(record, { boot: host.boot }));
      ends.tell(record, exit);
    },
  };
}

/** A session that an agent of another user runs: whoever starts a program may put any name into its environment. */
function isForeign(
  sessionId: string,
  { agent, deps }: { agent: Agent; deps: Pick<KeeperDeps, "host" | "records"> },
): boolean {
  const { id, uid } = agent;
  if (uid === 0 || uid === deps.host.uid) return false;
  return deps.records
    .list()
    .some((other) => other.sessionId === sessionId && other.id !== id && other.uid !== uid);
}

/** The run of the agent that it lives below. */
function runAbove(pid: number, { host, records }: KeeperDeps): string | null {
  const above = records.recordOfPid(host.readStat(pid)?.ppid ?? 0);
  return above && (above.agent.runId ?? above.runAbove);
}

function earlierBoot(record: AgentRecord, boot: string): EventDraft {
  const exit: Exit = { status: null, atMs: null, seenBy: ["gone"], reason: ENDED_UNSEEN };
  return exitEvent(record, { boot, exit, endedByUs: false });
}

function unknownEnd(exit: Exit, wasUnseen: boolean): Exit {
  return wasUnseen
    ? { status: null, atMs: null, seenBy: ["gone"], reason: ENDED_UNSEEN }
    : { ...exit, reason: "nobody could tell how it ended" };
}
