// What `observer run` says of the program that it started: believed as far as /proc and the caller's uid bear it out.

import { realpath, stat } from "node:fs/promises";
import type { Agent, CgroupDirectories, ProcessId } from "../../core/agent.ts";
import { agentId } from "../../core/agent.ts";
import type { Clock } from "../../core/clock.ts";
import { ObserverError } from "../../core/errors.ts";
import { ID_PATTERN } from "../../core/ids.ts";
import type { Redactor } from "../../core/redact.ts";
import { NO_CGROUPS } from "../../kernel/cgroup.ts";
import type { ExitStatus } from "./events.ts";
import type { Exits } from "./exits.ts";
import type { Finder } from "./finder.ts";
import { type Host, stateOf } from "./host.ts";
import type { Keeper } from "./keeper.ts";
import { commandText, profileOf } from "./profile.ts";
import { type AgentRecord, ownDirectories } from "./record.ts";
import type { Records } from "./registry.ts";
import { NO_TIES, type SessionTies } from "./ties.ts";

/** What a run is called and where it works, as its starter says. */
export interface RunClaim {
  runId: string;
  /** `--name`; null: the kind that the rules say, else the program's name. */
  name: string | null;
  /** Absolute path; null for none. */
  workspace: string | null;
}

export interface AdoptRequest extends ProcessId, RunClaim {
  /** The cgroups that were made for it; null where none could be. */
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
   * How a process of a run ended, by its parent. Throws `ObserverError`: `invalid`, `not_found`, `not_permitted`,
   * `conflict` when it is alive.
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

/** As kinds of the user's rules, and spaces. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$/;
/** A file system that does not answer must not hold up the start of a program. */
const WORKSPACE_PATIENCE_MS = 1_000;

export function createRuns(deps: RunsDeps): Runs {
  const { host, clock, records, keeper } = deps;

  const mayActFor = (callerUid: number, uid: number): boolean =>
    callerUid === 0 || callerUid === host.uid || callerUid === uid;

  async function adoptRun(request: AdoptRequest): Promise<Adoption> {
    checkClaim(request);
    const { pid, startTicks, runId } = request;
    // Before anything that waits, so that a claim of a stranger opens nothing.
    checkProcess(request);
    const workspace = await confirmWorkspace(request);
    checkProcess(request);
    const known = records.record({ pid, startTicks });
    const other = records.live().find(({ agent }) => agent.runId === runId);
    if ((known?.agent.runId ?? runId) !== runId || (other && other !== known)) {
      throw new ObserverError("conflict", `Process ${pid} or run ${runId} is taken by another one`);
    }
    const record = known ?? begin(request);
    const own = ownCgroupOf(request);
    const session = { sessionId: `run-${runId}`, atMs: 0 };
    record.ties.run ??= session;
    keeper.change(record, {
      runId,
      kind: request.name ?? record.agent.kind,
      // Named by the caller, or none: its working directory may be a home that nobody wants saved.
      workspace: workspace.path,
      ...("cgroups" in own && { cgroups: own.cgroups, ownCgroup: true }),
    });
    keeper.retie(record);
    return {
      agent: record.agent,
      workspaceRefused: workspace.refused,
      cgroupRefused: "refused" in own ? own.refused : null,
    };
  }

  function checkProcess({ pid, startTicks, callerUid }: AdoptRequest): void {
    const uid = host.readUid(pid);
    if (uid === null || stateOf(host, { pid, startTicks }).state !== "alive") {
      throw new ObserverError("not_found", `Process ${pid} has ended, or is another one now`);
    }
    if (pid === host.pid || !mayActFor(callerUid, uid)) throw notPermitted(pid);
  }

  function begin(request: AdoptRequest): AgentRecord {
    const { pid, startTicks, runId, name } = request;
    const process = deps.finder.look(pid);
    // The look may have found it by itself.
    const found = records.record({ pid, startTicks });
    if (found) return found;
    const command = process?.command ?? [];
    const ruleKind = process && deps.finder.kindOf(process);
    const kind = name ?? ruleKind ?? kindOfProgram(command);
    const facts = { host, redact: deps.redact, nowMs: clock.now() };
    const agent = profileOf({ pid, startTicks, kind, command }, facts);
    if (!agent) throw new ObserverError("not_found", `Process ${pid} has ended`);
    const ties: SessionTies = { ...NO_TIES, run: { sessionId: `run-${runId}`, atMs: 0 } };
    const record = keeper.begin({ ...agent, runId, workspace: null }, { ruleKind, ties });
    deps.finder.claimTree(record);
    return record;
  }

  function ownCgroupOf({
    cgroups: claimed,
    runId,
    pid,
  }: AdoptRequest): { cgroups: CgroupDirectories } | { refused: string | null } {
    if (claimed === null) return { refused: null };
    const actual = host.cgroupsOf(pid);
    const names = ["unified", "memory", "freezer"] as const;
    const moved = names.find((name) => claimed[name] !== null && claimed[name] !== actual[name]);
    if (moved) return { refused: `the process is not in the ${moved} cgroup that was named` };
    const own = ownDirectories(actual, { runId, parentName: deps.cgroupParent });
    if (own === null) {
      return { refused: "the cgroup is not one that observer makes for a run" };
    }
    return { cgroups: own };
  }

  async function confirmWorkspace({
    workspace,
    callerUid,
  }: Pick<AdoptRequest, "workspace" | "callerUid">): Promise<{
    path: string | null;
    refused: string | null;
  }> {
    if (workspace === null) return { path: null, refused: null };
    const isOurs = callerUid === 0 || callerUid === host.uid;
    const answer = await Promise.race([
      lookAtDirectory(workspace),
      Bun.sleep(WORKSPACE_PATIENCE_MS).then(() => "it does not answer"),
    ]);
    if (typeof answer === "string") return { path: null, refused: answer };
    if (!isOurs && answer.uid !== callerUid) {
      return { path: null, refused: "it does not belong to the one who started the run" };
    }
    return { path: answer.path, refused: null };
  }

  async function reportExit(report: ExitReport): Promise<void> {
    const { pid, startTicks, exitCode, signal, coreDumped, callerUid, run } = report;
    if (run) checkClaim({ ...run, pid, startTicks });
    if (!isStatus(report)) throw new ObserverError("invalid", "An exit needs a code or a signal");
    const status: ExitStatus = { exitCode, signal, coreDumped };
    const record = records.record({ pid, startTicks });
    if (record) {
      if (!mayActFor(callerUid, record.agent.uid)) throw notPermitted(pid);
      // Reported already: the kernel was faster.
      if (record.endedMs !== null || deps.exits.heardParent(record.agent, status)) return;
      throw new ObserverError("conflict", `Process ${pid} is alive`);
    }
    if (!run) throw new ObserverError("not_found", `Process ${pid} is no agent`);
    if (stateOf(host, { pid, startTicks }).state === "alive") {
      throw new ObserverError("conflict", `Process ${pid} is alive`);
    }
    const workspace = await confirmWorkspace({ ...run, callerUid });
    // Adopted while the directory was looked at.
    if (records.record({ pid, startTicks })) return reportExit(report);
    tellWhole({ report, run, workspace: workspace.path });
  }

  function tellWhole(told: {
    report: ExitReport;
    run: RunClaim & { command: string[] };
    workspace: string | null;
  }): void {
    const { report, run, workspace } = told;
    const { pid, startTicks, callerUid, exitCode, signal, coreDumped } = report;
    const ruleKind = deps.finder.kindOf({ pid, command: run.command });
    const nowMs = clock.now();
    const agent: Agent = {
      id: agentId({ pid, startTicks }),
      pid,
      startTicks,
      kind: run.name ?? ruleKind ?? kindOfProgram(run.command),
      startedMs: Math.min(nowMs, host.startedMs(startTicks, nowMs)),
      uid: callerUid,
      cwd: workspace,
      command: commandText(run.command, deps.redact),
      sessionId: `run-${run.runId}`,
      workspace,
      runId: run.runId,
      cgroups: NO_CGROUPS,
      ownCgroup: false,
    };
    const ties: SessionTies = { ...NO_TIES, run: { sessionId: `run-${run.runId}`, atMs: 0 } };
    const status = { exitCode, signal, coreDumped };
    keeper.tellWhole(
      { agent, ruleKind, ties, endedMs: null, orphansSeen: true },
      { status, atMs: nowMs, seenBy: ["parent"] },
    );
  }

  return { adoptRun, reportExit };
}

function notPermitted(pid: number): ObserverError {
  return new ObserverError("not_permitted", `Process ${pid} belongs to another user`);
}

function checkClaim({ pid, startTicks, runId, name, workspace }: ProcessId & RunClaim): void {
  const wrong = [
    Number.isSafeInteger(pid) && pid > 1 ? null : "pid must be a process",
    Number.isSafeInteger(startTicks) && startTicks >= 0 ? null : "startTicks must be clock ticks",
    ID_PATTERN.test(runId) ? null : "runId must be lower-case letters, digits and dashes",
    name === null || NAME.test(name) ? null : "name must be letters, digits, spaces, dots, dashes",
    workspace?.startsWith("/") !== false ? null : "workspace must be an absolute path",
  ].filter((problem) => problem !== null);
  if (wrong.length > 0) throw new ObserverError("invalid", wrong.join("; "));
}

function isStatus({ exitCode, signal }: ExitStatus): boolean {
  const isCode = exitCode !== null && Number.isInteger(exitCode) && exitCode >= 0;
  return signal === null ? isCode && exitCode < 256 : /^SIG[A-Z0-9+]{1,12}$/.test(signal);
}

/** What a program that no rule knows is called. */
function kindOfProgram(command: readonly string[]): string {
  const name = (command[0] ?? "").split("/").at(-1) ?? "";
  return name.replace(/[^A-Za-z0-9._-]/g, "").slice(0, 64) || "run";
}

/** Why it cannot be a workspace, or what it is. */
async function lookAtDirectory(path: string): Promise<string | { path: string; uid: number }> {
  try {
    const real = await realpath(path);
    const found = await stat(real);
    return found.isDirectory() ? { path: real, uid: found.uid } : "it is no directory";
  } catch {
    return "it does not exist, or cannot be looked at";
  }
}
