// What `observer run` says of the program that it started: believed as far as /proc and the caller's uid bear it out.

import { type Agent, agentId, type CgroupDirectories, type ProcessId } from "../../core/agent.ts";
import type { Clock } from "../../core/clock.ts";
import { ObserverError } from "../../core/errors.ts";
import type { Redactor } from "../../core/redact.ts";
import { runSessionId } from "../../core/run.ts";
import { NO_CGROUPS } from "../../kernel/cgroup.ts";
import type { ExitStatus } from "./events.ts";
import type { Exits } from "./exits.ts";
import type { Finder } from "./finder.ts";
import { type Host, stateOf } from "./host.ts";
import type { Keeper } from "./keeper.ts";
import { commandText, profileOf } from "./profile.ts";
import { type AgentRecord, ownDirectories } from "./record.ts";
import type { Records } from "./registry.ts";
import {
  checkClaim,
  checkStatus,
  confirmCgroups,
  confirmWorkspace,
  kindOfProgram,
  type RunClaim,
} from "./run-claim.ts";
import { NO_TIES, type SessionTies } from "./ties.ts";

/** Longer than a commit takes on a disk that is busy, shorter than anybody waits at a terminal. */
const STORE_PATIENCE_MS = 2_000;

/** Two clock ticks: one that goes on, one of rounding. */
const TICK_SLACK_MS = 20;

export interface AdoptRequest extends ProcessId, RunClaim {
  /** The cgroups that were made for it; null where none could be, or where systemd made them. */
  cgroups: CgroupDirectories | null;
  /** Who asks, as the kernel says. */
  callerUid: number;
}

export interface Adoption {
  agent: Agent;
  /** Why the workspace was not taken; null when it was, or when none was named. */
  workspaceRefused: string | null;
  /** Why its cgroup is not taken for its own; null when it is, or when none was named. */
  cgroupRefused: string | null;
}

export interface ExitReport extends ProcessId, ExitStatus {
  callerUid: number;
  /** For a program that ended before it could be adopted. */
  run?: RunClaim & { command: string[] };
}

export interface Runs {
  /**
   * Makes the process an agent of this run, or gives the run to the agent that it is. The same claim again changes
   * nothing. Throws `ObserverError`: `invalid`, `not_found` (gone, or another process has its number now),
   * `not_permitted` (another user's), `conflict` (it is of another run, or the run has another process).
   */
  adoptRun(request: AdoptRequest): Promise<Adoption>;
  /**
   * How a process of a run ended, by its parent. Resolves when the end is stored, which adds nothing when it was told
   * before. Throws `ObserverError`: `invalid`, `not_found`, `not_permitted`, `conflict` when it is alive,
   * `unavailable` when it cannot be stored now.
   */
  reportExit(report: ExitReport): Promise<void>;
}

export interface RunsDeps {
  host: Host;
  clock: Clock;
  redact: Redactor;
  records: Records;
  finder: Finder;
  keeper: Keeper;
  exits: Exits;
  /** Name of observer's own cgroup, under which runs have theirs. */
  cgroupParent: string;
}

export function createRuns(deps: RunsDeps): Runs {
  return {
    async adoptRun(request) {
      checkClaim(request);
      // Before anything that waits, so that a claim of a stranger opens nothing; and after it, for what changed.
      checkProcess(request, deps);
      const workspace = await confirmWorkspace(request.workspace, trustOf(request, deps));
      checkProcess(request, deps);
      const record = recordFor({ ...request, workspace: workspace.path }, deps);
      const cgroups = cgroupsOf(request, deps);
      record.ties.run ??= { sessionId: runSessionId(request.runId), atMs: 0 };
      record.isNamed ||= request.name !== null;
      deps.keeper.change(record, {
        runId: request.runId,
        kind: request.name ?? record.agent.kind,
        // As named, or none: its working directory may be a home that nobody wants saved.
        workspace: workspace.path,
        ...("own" in cgroups && { cgroups: cgroups.own, ownCgroup: true }),
      });
      deps.keeper.retie(record);
      deps.finder.claimTree(record);
      const cgroupRefused = "own" in cgroups ? null : cgroups.refused;
      return { agent: record.agent, workspaceRefused: workspace.refused, cgroupRefused };
    },
    async reportExit(report) {
      checkStatus(report);
      if (report.run) checkClaim({ ...report, ...report.run });
      const known = heard(report, deps);
      if (known) return whenStored(known, deps);
      if (!report.run) throw new ObserverError("not_found", `Process ${report.pid} is no agent`);
      const trust = trustOf(report, deps);
      await checkUnseen(report, report.run, deps);
      const { path } = await confirmWorkspace(report.run.workspace, trust);
      // It may have been adopted while the directory was looked at.
      const told = { run: report.run, workspace: path };
      await whenStored(heard(report, deps) ?? tellWhole(report, told, deps), deps);
    },
  };
}

function trustOf(
  { callerUid }: { callerUid: number },
  { host }: RunsDeps,
): { callerUid: number; isOurs: boolean } {
  return { callerUid, isOurs: callerUid === 0 || callerUid === host.uid };
}

function checkOwner(pid: number, uid: number, trust: ReturnType<typeof trustOf>): void {
  if (trust.isOurs || trust.callerUid === uid) return;
  throw new ObserverError("not_permitted", `Process ${pid} belongs to another user`);
}

function checkProcess(request: AdoptRequest, deps: RunsDeps): void {
  const { pid, startTicks } = request;
  const uid = deps.host.readUid(pid);
  if (uid === null || stateOf(deps.host, { pid, startTicks }).state !== "alive") {
    throw new ObserverError("not_found", `Process ${pid} has ended, or is another one now`);
  }
  if (pid === deps.host.pid) throw new ObserverError("not_permitted", "This is observer itself");
  checkOwner(pid, uid, trustOf(request, deps));
}

/** `workspace` as confirmed. */
function recordFor(request: AdoptRequest, deps: RunsDeps): AgentRecord {
  const { pid, startTicks, runId } = request;
  const { records } = deps;
  const known = records.record({ pid, startTicks }) ?? begin(request, deps);
  const other = records.live().find(({ agent }) => agent.runId === runId);
  if ((known.agent.runId ?? runId) !== runId || (other && other !== known)) {
    throw new ObserverError("conflict", `Process ${pid} or run ${runId} is taken by another one`);
  }
  return known;
}

function begin(request: AdoptRequest, { host, clock, redact, records, finder, keeper }: RunsDeps) {
  const { pid, startTicks, runId, name, workspace } = request;
  if (records.live().some(({ agent }) => agent.runId === runId)) {
    throw new ObserverError("conflict", `Run ${runId} has another process`);
  }
  const process = finder.look(pid);
  // The look may have found it by itself.
  const found = records.record({ pid, startTicks });
  if (found) return found;
  const command = process?.command ?? [];
  const ruleKind = process && finder.kindOf(process);
  const kind = name ?? ruleKind ?? kindOfProgram(command);
  const facts = { host, redact, nowMs: clock.now() };
  const agent = profileOf({ pid, startTicks, kind, command }, facts);
  if (!agent) throw new ObserverError("not_found", `Process ${pid} has ended`);
  const ties: SessionTies = { ...NO_TIES, run: { sessionId: runSessionId(runId), atMs: 0 } };
  const isNamed = name !== null;
  return keeper.begin({ ...agent, runId, workspace }, { ruleKind, ties, isNamed });
}

function cgroupsOf(
  { cgroups: claimed, runId, pid }: AdoptRequest,
  { host, cgroupParent }: RunsDeps,
): { own: CgroupDirectories } | { refused: string | null } {
  const actual = host.cgroupsOf(pid);
  const run = { runId, parentName: cgroupParent };
  if (claimed !== null) return confirmCgroups({ claimed, actual }, run);
  // A scope is made by systemd: whoever asked for it does not know where it is.
  const own = ownDirectories(actual, run);
  return own ? { own } : { refused: null };
}

/** The agent that the report was taken for, null when none is known; its process must be dead in any case. */
function heard(report: ExitReport, deps: RunsDeps): AgentRecord | null {
  const { pid, startTicks, exitCode, signal, coreDumped } = report;
  const record = deps.records.record({ pid, startTicks });
  if (record) checkOwner(pid, record.agent.uid, trustOf(report, deps));
  if (record?.endedMs != null) return record;
  if (record && deps.exits.heardParent(record.agent, { exitCode, signal, coreDumped })) {
    return record;
  }
  if (record || stateOf(deps.host, { pid, startTicks }).state === "alive") {
    throw new ObserverError("conflict", `Process ${pid} is alive`);
  }
  return null;
}

/**
 * Its events get the keys of that process: so it must be over for good, else the true ones of a later process would be
 * duplicates; and the run must not be another user's, whose session they would speak of.
 */
async function checkUnseen(report: ExitReport, { runId }: RunClaim, deps: RunsDeps): Promise<void> {
  const { pid, startTicks } = report;
  const { host, clock, records } = deps;
  for (const { agent } of records.all()) {
    if (agent.runId === runId) checkOwner(agent.pid, agent.uid, trustOf(report, deps));
  }
  const nowMs = clock.now();
  const agoMs = nowMs - host.startedMs(startTicks, nowMs);
  if (agoMs < -TICK_SLACK_MS) {
    throw new ObserverError("invalid", `Process ${pid} cannot have started in the future`);
  }
  // In this very tick another one may still start with its number; it would be alive at the next look.
  if (agoMs < TICK_SLACK_MS) await Bun.sleep(2 * TICK_SLACK_MS);
}

async function whenStored(record: AgentRecord, { keeper }: RunsDeps): Promise<void> {
  const late = Bun.sleep(STORE_PATIENCE_MS).then(() => "late");
  if ((await Promise.race([keeper.whenTold(record), late])) !== "late") return;
  throw new ObserverError("unavailable", "The end of the run is known but cannot be stored now");
}

/** The whole life of a program that was over before anybody looked, by the word of its parent. */
function tellWhole(
  report: ExitReport,
  { run, workspace }: { run: RunClaim & { command: string[] }; workspace: string | null },
  { host, clock, finder, keeper, redact }: RunsDeps,
): AgentRecord {
  const { pid, startTicks, callerUid, exitCode, signal, coreDumped } = report;
  const ruleKind = finder.kindOf({ pid, command: run.command });
  const nowMs = clock.now();
  const sessionId = runSessionId(run.runId);
  const agent: Agent = {
    id: agentId({ pid, startTicks }),
    pid,
    startTicks,
    kind: run.name ?? ruleKind ?? kindOfProgram(run.command),
    startedMs: Math.min(nowMs, host.startedMs(startTicks, nowMs)),
    uid: callerUid,
    cwd: workspace,
    command: commandText(run.command, redact),
    sessionId,
    workspace,
    runId: run.runId,
    cgroups: NO_CGROUPS,
    ownCgroup: false,
  };
  const ties: SessionTies = { ...NO_TIES, run: { sessionId, atMs: 0 } };
  const record: AgentRecord = {
    agent,
    ruleKind,
    isNamed: run.name !== null,
    runAbove: null,
    ties,
    endedMs: null,
    isTold: false,
    orphansSeen: true,
  };
  const status = { exitCode, signal, coreDumped };
  keeper.tellWhole(record, { status, atMs: nowMs, seenBy: ["parent"] });
  return record;
}
