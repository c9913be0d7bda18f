// What follows when a process is recognised, runs another program, or dies: between the finder and the keeper.

import type { Agent } from "../../core/agent.ts";
import type { Clock } from "../../core/clock.ts";
import type { Redactor } from "../../core/redact.ts";
import type { SeenProcess } from "../../kernel/scan.ts";
import type { AgentRow } from "../../store/agent-rows.ts";
import type { Children } from "./children.ts";
import type { Exits } from "./exits.ts";
import type { Finder, Found } from "./finder.ts";
import type { Host } from "./host.ts";
import type { Keeper } from "./keeper.ts";
import type { Outbox } from "./outbox.ts";
import { commandText, profileOf } from "./profile.ts";
import { type AgentRecord, ownDirectories, runIdOf } from "./record.ts";
import type { Records } from "./registry.ts";
import { kindOfProgram } from "./run-claim.ts";
import type { SessionLooks } from "./sessions.ts";
import { NO_TIES } from "./ties.ts";

export interface HandlersDeps {
  host: Host;
  clock: Clock;
  redact: Redactor;
  records: Records;
  keeper: Keeper;
  exits: Exits;
  children: Children;
  looks: SessionLooks;
  outbox: Outbox;
  cgroupParent: string;
  finder: () => Finder;
}

export interface Handlers {
  onFound(found: Found): void;
  onExec(record: AgentRecord, facts: { process: SeenProcess; kind: string | null }): void;
  /** The first thread of a process ended. */
  onExit(exit: { pid: number; status: number; monotonicAtMs: number }): void;
  /** An agent that lived when observer last knew. */
  resume(row: AgentRow): void;
}

export function createHandlers(deps: HandlersDeps): Handlers {
  const { host, records, keeper, redact } = deps;
  return {
    onFound: (found) => begin(found, deps),
    onExec(record, { process, kind }) {
      if (process.command.length === 0) return;
      const command = commandText(process.command, redact);
      // A program that no rule knows is still the agent's, unless its kind came from a program before it.
      const isGuessed = record.ruleKind === null && !record.isNamed;
      if (kind !== null) record.ruleKind = kind;
      const name = kind ?? (isGuessed ? kindOfProgram(process.command) : null);
      keeper.change(record, { command, ...(name !== null && !record.isNamed && { kind: name }) });
    },
    onExit({ pid, status, monotonicAtMs }) {
      deps.exits.heardExit(pid, { status, atMs: monotonicAtMs });
      if (records.livingAt(pid)) return;
      const member = deps.finder().heardExit(pid);
      const record = member && records.byId(member.agentId);
      if (!member || !record || record.agent.pid === pid) return;
      const atMs = Math.round(deps.clock.now() - (host.monotonicMs() - monotonicAtMs));
      const draft = deps.children.exitOf(record, { pid, member, status, atMs });
      if (draft) deps.outbox.tell(draft);
    },
    resume: (row) => resume(row, deps),
  };
}

function begin({ process, kind, heirOf }: Found, deps: HandlersDeps): void {
  const { host, clock, redact, records, looks } = deps;
  const agent = profileOf({ ...process, kind }, { host, redact, nowMs: clock.now() });
  if (!agent) return;
  const ties = { ...(heirOf?.ties ?? NO_TIES) };
  // Below another agent the variable is inherited, and means that one.
  if (records.recordOfPid(process.ppid) === null) ties.run ??= looks.ownTie(process.pid);
  const workspace = agent.workspace ?? heirOf?.agent.workspace ?? null;
  const record = deps.keeper.begin(
    { ...agent, workspace, ...runFacts(agent, { process, deps }) },
    { ruleKind: kind, ties, isNamed: false },
  );
  deps.finder().claimTree(record);
}

/** Its cgroup says that a run started it, though nobody told yet. */
function runFacts(
  { cgroups }: Agent,
  { process, deps }: { process: SeenProcess; deps: HandlersDeps },
): Partial<Agent> {
  const { host, records, cgroupParent } = deps;
  const runId = runIdOf(cgroups, cgroupParent);
  if (runId === null) return {};
  const isFirst = runIdOf(host.cgroupsOf(process.ppid), cgroupParent) !== runId;
  const isTaken = records.live().some(({ agent }) => agent.runId === runId);
  return isFirst && !isTaken ? { runId } : {};
}

function resume(row: AgentRow, deps: HandlersDeps): void {
  const { host, redact } = deps;
  const isSame = row.boot === host.boot && host.readStat(row.pid)?.startTicks === row.startTicks;
  const command = isSame ? (host.readCommandLine(row.pid) ?? []) : [];
  const now = { host, redact, nowMs: deps.clock.now() };
  const agent = isSame ? profileOf({ ...row, command }, now) : null;
  const record = deps.keeper.resume(row, agent && { ...agent, ...kept(row, agent, deps) });
  if (record && agent) deps.finder().claimTree(record);
}

/** What cannot be read from /proc again, and what of it still holds. */
function kept(row: AgentRow, agent: Agent, { cgroupParent }: HandlersDeps): Partial<Agent> {
  const { startedMs, sessionId, runId } = row;
  const facts = { startedMs, sessionId, runId };
  if (runId === null) return facts;
  const own = row.ownCgroup
    ? ownDirectories(agent.cgroups, { runId, parentName: cgroupParent })
    : null;
  return { ...facts, workspace: row.workspace, ...(own && { cgroups: own, ownCgroup: true }) };
}
