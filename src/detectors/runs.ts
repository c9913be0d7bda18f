// What is under way in each session, and which processes are whose: what a death is judged by.

import type { EventData, EventKind, ObserverEvent } from "../core/event.ts";
import { createEarlyResults, type EarlyResults } from "./early-results.ts";
import { directoryOf } from "./finding.ts";
import { createLruMap } from "./lru-map.ts";

// Ghosts of calls whose result was lost.
const OPEN_CALLS_MAX = 64;
// Runs of one session whose pids are known: an exit may be told after the session went on under another pid.
const AGENT_PIDS_MAX = 8;

// Kinds that also speak of other processes than the agent's own.
const OF_ANY_PROCESS = new Set<EventKind>(["process_start", "process_exit", "oom_kill", "error"]);

/** An `agent_crash` that was reported: what names its interruption. */
export interface Crash {
  timeMs: number;
  pid: number | undefined;
  fingerprint: string;
  sessionId: string | undefined;
}

/** What is known of one session, or of one process that belongs to none. */
export interface Run {
  /** Calls without a result, by call id, or by tool where there is no id. */
  open: Map<string, number>;
  /** Ids of calls whose result came first: they are never open. */
  early: EarlyResults<true>;
  /** A prompt was given and its turn has not ended. */
  turnOpen: boolean;
  sessionId?: string;
  agent?: string;
  pid?: number;
  /** Pids that the session's own events named: the agent's, also of its earlier runs. */
  agentPids: number[];
  cwd?: string;
  /** The newest death that was judged a crash; without a fingerprint when an `oom_kill` told of it instead. */
  crash?: Omit<Crash, "fingerprint"> & { fingerprint?: string };
}

export interface Runs {
  /** The run that the event belongs to, with what it says noted; null when it names no one. */
  of(event: ObserverEvent): Run | null;
}

/** Runs of at most `max` sessions, and processes without one. */
export function createRuns(max: number): Runs {
  const runs = createLruMap<string, Run>(max);
  // A process event often knows only its pid: the session was named by other events of the same pid.
  const runOfPid = createLruMap<string, string>(max);
  return {
    of(event) {
      const { host, sessionId, agent } = event;
      const pid = pidOf(event);
      // A new process under a used pid is nobody's yet.
      if (event.kind === "process_start" && sessionId === undefined) {
        runOfPid.delete(keyOfPid(host, pid));
      }
      // Who names neither session nor process may still name the agent, which is better than no one.
      if (sessionId === undefined && pid === undefined && agent === undefined) return null;
      const pidKey = pid === undefined ? `${host}\u0000agent\u0000${agent}` : keyOfPid(host, pid);
      const key =
        sessionId === undefined ? (runOfPid.get(pidKey) ?? pidKey) : `${host}\u0000${sessionId}`;
      if (sessionId !== undefined && pid !== undefined) runOfPid.set(pidKey, key);
      const run = runs.ensure(key, newRun);
      noteFacts(run, event);
      return run;
    },
  };
}

/** The process that the event is about: of an `oom_kill`, the victim. */
export function pidOf({ kind, pid, data }: ObserverEvent): number | undefined {
  const victim = data["victim_pid"];
  return kind === "oom_kill" && Number.isSafeInteger(victim) ? (victim as number) : pid;
}

function newRun(): Run {
  return { open: new Map(), early: createEarlyResults(), turnOpen: false, agentPids: [] };
}

function keyOfPid(host: string, pid: unknown): string {
  return `${host}\u0000pid\u0000${String(pid)}`;
}

function noteFacts(run: Run, event: ObserverEvent): void {
  const cwd = directoryOf(event);
  if (event.sessionId !== undefined) run.sessionId = event.sessionId;
  if (event.agent !== undefined) run.agent = event.agent;
  if (event.pid !== undefined && namesAgent(run, event)) run.pid = event.pid;
  if (event.pid !== undefined && !OF_ANY_PROCESS.has(event.kind)) noteAgentPid(run, event.pid);
  if (cwd !== undefined) run.cwd = cwd;
}

// As long as nothing better is known, the process of a process event is taken for the agent's; never a victim or a child.
function namesAgent(run: Run, { kind, data }: ObserverEvent): boolean {
  if (!OF_ANY_PROCESS.has(kind)) return true;
  return run.pid === undefined && kind !== "oom_kill" && data["child"] !== true;
}

function noteAgentPid({ agentPids }: Run, pid: number): void {
  if (agentPids.includes(pid)) return;
  agentPids.push(pid);
  if (agentPids.length > AGENT_PIDS_MAX) agentPids.shift();
}

/** Calls and turns that the event opens or ends. */
export function noteWork(run: Run, event: ObserverEvent): void {
  const { kind, data } = event;
  if (kind === "tool_call") openCall(run, data);
  else if (kind === "tool_result") closeCall(run, data);
  else if (kind === "prompt" && data.agent_id === undefined) {
    run.open.clear();
    run.turnOpen = true;
  } else if (endsWork(run, event)) {
    run.open.clear();
    run.turnOpen = false;
  }
}

function endsWork(run: Run, { kind, data, pid }: ObserverEvent): boolean {
  if (kind === "session_end") return true;
  if (kind === "process_exit") return data["child"] !== true && isOwnProcess(run, pid);
  return kind === "note" && data.note === "turn_end" && data.agent_id === undefined;
}

/** A failing test that the agent started is a process of the session too, but not the agent. */
export function isOwnProcess(run: Run, pid: number | undefined): boolean {
  return pid === undefined || run.pid === undefined || run.pid === pid;
}

/** Known to be another's: the reporter says so, or the agent's pid is known and differs. */
export function isChild(run: Run, { kind, pid, data }: ObserverEvent): boolean {
  if (!OF_ANY_PROCESS.has(kind)) return false;
  if (data["child"] === true) return true;
  return pid !== undefined && run.agentPids.length > 0 && !run.agentPids.includes(pid);
}

function openCall({ open, early }: Run, { call_id: id, tool }: EventData): void {
  if (id !== undefined && early.take(id) === true) return;
  const call = id ?? `tool ${tool ?? ""}`;
  open.set(call, (open.get(call) ?? 0) + 1);
  if (open.size <= OPEN_CALLS_MAX) return;
  const oldest = open.keys().next();
  if (oldest.done !== true) open.delete(oldest.value);
}

function closeCall({ open, early }: Run, { call_id: id, tool }: EventData): void {
  const byTool = `tool ${tool ?? ""}`;
  // Where only one of the two carries an id: by the tool's name, else the newest, so that no ghost stays open.
  const candidates = id === undefined ? [byTool, [...open.keys()].at(-1)] : [id, byTool];
  const call = candidates.find((name) => name !== undefined && open.has(name));
  if (call === undefined) {
    if (id !== undefined) early.hold(id, true);
    return;
  }
  if (id !== undefined) early.matched(id);
  const count = open.get(call) ?? 0;
  if (count > 1) open.set(call, count - 1);
  else open.delete(call);
}
