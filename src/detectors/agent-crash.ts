// agent_crash: an agent's process died in a way that it did not choose, or while work was under way.

import type { Detector } from "../core/contracts.ts";
import type { EventData, EventKind, ObserverEvent } from "../core/event.ts";
import type { Finding } from "../core/interruption.ts";
import { type ExitFacts, exitFacts, isCrash } from "./exit-facts.ts";
import { createEarlyResults, type EarlyResults } from "./early-results.ts";
import { directoryOf, findingAt } from "./finding.ts";
import { createLruMap } from "./lru-map.ts";

// One death is told by the kernel and by the agent's own tools at nearly the same time.
const SAME_DEATH_MS = 30_000;
// Ghosts of calls whose result was lost.
const OPEN_CALLS_MAX = 64;

// Runs of one session whose pids are known: an exit may be told after the session went on under another pid.
const AGENT_PIDS_MAX = 8;

// Kinds that also speak of other processes than the agent's own.
const OF_ANY_PROCESS = new Set<EventKind>(["process_start", "process_exit", "oom_kill", "error"]);
// Kinds that may tell how a process ended.
const EXIT_KINDS = new Set<EventKind>(["process_exit", "session_end", "error"]);

export interface AgentCrashOptions {
  /** Sessions, and processes without one, that are remembered. */
  lanesMax: number;
}

/** What is known of one session, or of one process that belongs to none. */
interface Run {
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
  crash?: { timeMs: number; pid: number | undefined };
}

/** Tracks what is under way in each session and judges each reported end of a process. */
export function createAgentCrashDetector(options: AgentCrashOptions): Detector {
  const runs = createLruMap<string, Run>(options.lanesMax);
  // A process event often knows only its pid: the session was named by other events of the same pid.
  const runOfPid = createLruMap<string, string>(options.lanesMax);

  function runFor(event: ObserverEvent): Run | null {
    const { host, sessionId, pid, agent } = event;
    // Who names neither session nor process may still name the agent, which is better than no one.
    if (sessionId === undefined && pid === undefined && agent === undefined) return null;
    const pidKey = pid === undefined ? `${host}\u0000agent\u0000${agent}` : keyOfPid(host, pid);
    const key =
      sessionId === undefined ? (runOfPid.get(pidKey) ?? pidKey) : `${host}\u0000${sessionId}`;
    if (sessionId !== undefined && pid !== undefined) runOfPid.set(pidKey, key);
    const run = runs.ensure(key, newRun);
    noteFacts(run, event);
    return run;
  }

  return {
    type: "agent_crash",
    observe(event) {
      // A new process under a used pid is nobody's yet.
      if (event.kind === "process_start" && event.sessionId === undefined) {
        runOfPid.delete(keyOfPid(event.host, event.pid));
      }
      const run = runFor(event);
      if (run === null) return [];
      const exit = EXIT_KINDS.has(event.kind) ? exitFacts(event.data) : null;
      const findings = exit === null ? [] : judge({ event, run, exit });
      noteWork(run, event);
      return findings;
    },
  };
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
  if (event.pid !== undefined && (run.pid === undefined || !OF_ANY_PROCESS.has(event.kind))) {
    run.pid = event.pid;
  }
  if (event.pid !== undefined && !OF_ANY_PROCESS.has(event.kind)) noteAgentPid(run, event.pid);
  if (cwd !== undefined) run.cwd = cwd;
}

function noteAgentPid({ agentPids }: Run, pid: number): void {
  if (agentPids.includes(pid)) return;
  agentPids.push(pid);
  if (agentPids.length > AGENT_PIDS_MAX) agentPids.shift();
}

function noteWork(run: Run, event: ObserverEvent): void {
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

// A failing test that the agent started is a process of the session too, but not the agent.
function isOwnProcess(run: Run, pid: number | undefined): boolean {
  return pid === undefined || run.pid === undefined || run.pid === pid;
}

// Known to be another's: the reporter says so, or the agent's pid is known and differs.
function isChild(run: Run, { kind, pid, data }: ObserverEvent): boolean {
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

interface Death {
  event: ObserverEvent;
  run: Run;
  exit: ExitFacts;
}

function judge({ event, run, exit }: Death): Finding[] {
  if (isChild(run, event)) return [];
  const { in_flight: stated } = event.data;
  const known = isOwnProcess(run, event.pid) && (run.turnOpen || run.open.size > 0);
  const inFlight = typeof stated === "boolean" ? stated : known;
  if (!isCrash(exit, inFlight)) return [];
  // A kill that an `oom_kill` event explains is told too: there is no interruption of type `oom_kill` yet that
  // would tell of the death instead.
  const samePid =
    event.pid === undefined || run.crash?.pid === undefined || run.crash.pid === event.pid;
  if (samePid && isNear(run.crash?.timeMs, event.timeMs)) return [];
  run.crash = { timeMs: event.timeMs, pid: event.pid };
  const finding = findingAt(event, {
    type: "agent_crash",
    // Each death is its own trouble.
    fingerprint: `crash:${event.pid ?? ""}:${event.id}`,
    summary: `${nameOf(run, event)} ${describe(exit)}${inFlight ? " while work was under way" : ""}`,
    detail: {
      exit_code: exit.exitCode,
      signal: exit.signal,
      core_dumped: exit.coreDumped,
      in_flight: inFlight,
    },
    evidence: [event.id],
  });
  const { sessionId, agent, pid, cwd } = run;
  return [
    {
      ...(sessionId === undefined ? {} : { sessionId }),
      ...(agent === undefined ? {} : { agent }),
      ...(pid === undefined ? {} : { pid }),
      ...(cwd === undefined ? {} : { cwd }),
      ...finding,
    },
  ];
}

function isNear(earlierMs: number | undefined, timeMs: number): boolean {
  return earlierMs !== undefined && Math.abs(timeMs - earlierMs) <= SAME_DEATH_MS;
}

function nameOf(run: Run, event: ObserverEvent): string {
  const pid = event.pid ?? run.pid;
  return `${run.agent ?? "agent"}${pid === undefined ? "" : ` (pid ${pid})`}`;
}

function describe({ signal, exitCode, coreDumped }: ExitFacts): string {
  const how = signal === null ? `exited with code ${exitCode ?? "unknown"}` : `died of ${signal}`;
  return coreDumped ? `${how} and dumped core` : how;
}
