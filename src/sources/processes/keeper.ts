// Keeps agents from their finding to their end: tells of both once, and remembers them over a restart.

import type { Agent } from "../../core/agent.ts";
import type { Offer } from "../../core/contracts.ts";
import type { EventDraft } from "../../core/event.ts";
import type { AgentRow, AgentRows } from "../../store/agent-rows.ts";
import type { Log } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { type Exit, exitEvent, startEvent } from "./events.ts";
import type { Exits, HeldProcess } from "./exits.ts";
import type { Host } from "./host.ts";
import type { AgentRecord } from "./record.ts";
import type { Records } from "./registry.ts";
import { NO_TIES, type SessionTies, sessionOf } from "./ties.ts";

export const ENDED_UNSEEN = "ended while observer was not running";
/** A parent under `observer run` tells within this time after observer is back. */
const PARENT_PATIENCE_MS = 5_000;
/** A full inbox empties within a second; a full disk may take longer than anybody waits. */
const OFFER_PAUSES_MS = [200, 1_000, 5_000, 30_000];

export interface KeeperDeps {
  host: Host;
  records: Records;
  rows: AgentRows;
  offer: Offer;
  log: Log;
  metrics: Metrics;
  endedByUs(process: HeldProcess): boolean;
  exits(): Exits;
}

export interface Keeper {
  /** A new agent: registered, held, told of. */
  begin(agent: Agent, facts: { ruleKind: string | null; ties: SessionTies }): AgentRecord;
  /** One that was kept over a restart; `agent` null when it is gone. */
  resume(row: AgentRow, agent: Agent | null): AgentRecord | null;
  /** Takes over other facts, and keeps them. */
  change(record: AgentRecord, facts: Partial<Agent>): void;
  /** The session that the ties say now. */
  retie(record: AgentRecord): void;
  end(process: HeldProcess, exit: Exit): void;
  /** Of an agent that nobody saw alive: its parent tells its whole life at once. */
  tellWhole(record: AgentRecord, exit: Exit): void;
  tell(draft: EventDraft): void;
}

export function createKeeper(deps: KeeperDeps): Keeper {
  const { host, records, rows, log, metrics } = deps;
  /** Agents that were gone when observer came back. */
  const unseen = new Set<string>();

  const keep = (record: AgentRecord): void => rows.put(rowOf(record, host.boot));
  const count = (): void => metrics.set("observer_agents", records.list().length);

  /** Once it is committed, or given up, `then` runs. */
  async function offer(draft: EventDraft, then?: () => void): Promise<void> {
    for (const pauseMs of [...OFFER_PAUSES_MS, null]) {
      const [receipt] = await deps.offer([draft]);
      if (receipt?.status !== "rejected" || receipt.code === "conflict") break;
      if (pauseMs === null) {
        log.error("a process event could not be stored", { id: draft.id, reason: receipt.reason });
        return;
      }
      await Bun.sleep(pauseMs);
    }
    then?.();
  }

  function add(record: AgentRecord): void {
    const { agent, ruleKind } = record;
    records.add(record);
    const { startTicks } = agent;
    records.setMember(agent.pid, { startTicks, agentId: agent.id, kind: ruleKind, goneMs: null });
    count();
  }

  function exitDraft(record: AgentRecord, exit: Exit): EventDraft {
    const endedByUs = deps.endedByUs(record.agent);
    return exitEvent(record, { boot: host.boot, exit, endedByUs });
  }

  function change(record: AgentRecord, facts: Partial<Agent>): void {
    const before = record.agent;
    records.change(record, facts);
    if (record.agent !== before && record.endedMs === null) keep(record);
  }

  return {
    change,
    tell: (draft) => void offer(draft),
    begin(agent, { ruleKind, ties }) {
      const sessionId = sessionOf(ties)?.sessionId ?? null;
      const record: AgentRecord = {
        agent: { ...agent, sessionId },
        ruleKind,
        ties,
        endedMs: null,
        orphansSeen: false,
      };
      add(record);
      keep(record);
      void offer(startEvent(record, { boot: host.boot }));
      log.info("agent found", { agent: agent.kind, pid: agent.pid, uid: agent.uid });
      deps.exits().hold(agent);
      return record;
    },
    resume(row, agent) {
      const record: AgentRecord = {
        agent: agent ?? goneAgent(row),
        ruleKind: row.ruleKind,
        ties: tiesOf(row),
        endedMs: null,
        orphansSeen: false,
      };
      if (row.boot !== host.boot) {
        const exit: Exit = { status: null, atMs: null, seenBy: ["gone"], reason: ENDED_UNSEEN };
        const draft = exitEvent(record, { boot: row.boot, exit, endedByUs: false });
        void offer(draft, () => rows.remove(row));
        return null;
      }
      add(record);
      if (agent === null) unseen.add(record.agent.id);
      const patienceMs = row.runId === null ? undefined : PARENT_PATIENCE_MS;
      deps.exits().hold(record.agent, patienceMs === undefined ? {} : { patienceMs });
      return record;
    },
    retie(record) {
      const sessionId = sessionOf(record.ties)?.sessionId ?? null;
      if (sessionId === null || sessionId === record.agent.sessionId) return;
      change(record, { sessionId });
      log.info("agent's session is known", { pid: record.agent.pid, session: sessionId });
    },
    end(process, exit) {
      const record = records.record(process);
      if (record?.endedMs !== null) return;
      const wasGone = unseen.delete(record.agent.id) && exit.status === null;
      const told: Exit = wasGone
        ? { status: null, atMs: null, seenBy: ["gone"], reason: ENDED_UNSEEN }
        : exit.status === null
          ? { ...exit, reason: "nobody could tell how it ended" }
          : exit;
      records.end(record);
      count();
      metrics.add("observer_agent_exits_total", 1, { seen_by: told.seenBy[0] ?? "gone" });
      const { pid, startTicks } = record.agent;
      // Kept until the event is: else a kill of observer in between would lose the end.
      void offer(exitDraft(record, told), () => rows.remove({ boot: host.boot, pid, startTicks }));
    },
    tellWhole(record, exit) {
      records.add(record);
      records.end(record);
      metrics.add("observer_agent_exits_total", 1, { seen_by: exit.seenBy[0] ?? "gone" });
      void offer(startEvent(record, { boot: host.boot }));
      void offer(exitDraft(record, exit));
    },
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

/** Weaker than whatever is learned anew: the time of a tie is not kept. */
function tiesOf({ sessionId, sessionProven, runId }: AgentRow): SessionTies {
  if (sessionId === null) return { ...NO_TIES };
  const tie = { sessionId, atMs: 0 };
  if (runId !== null && sessionId === `run-${runId}`) return { ...NO_TIES, run: tie };
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
