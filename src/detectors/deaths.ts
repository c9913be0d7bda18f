// Judges each death once for all detectors that report deaths: one death is one trouble, whoever tells of it first.

import type { EventKind, ObserverEvent } from "../core/event.ts";
import type { Finding } from "../core/interruption.ts";
import { crashFinding } from "./crash-finding.ts";
import { type ExitFacts, exitFacts, isCrash } from "./exit-facts.ts";
import { directoryOf } from "./finding.ts";
import { killFinding } from "./kill-finding.ts";
import { createKills, type Exit, type Told } from "./kills.ts";
import { proofOf } from "./kill-proof.ts";
import { createRuns, isChild, isOwnProcess, noteWork, type Run } from "./runs.ts";

// One death is told by the kernel and by the agent's own tools at nearly the same time.
const SAME_DEATH_MS = 30_000;
// Kinds that may tell how a process ended.
const EXIT_KINDS = new Set<EventKind>(["process_exit", "session_end", "error"]);

const NOTHING: DeathFindings = { crashes: [], kills: [] };

/** What one event says of deaths. */
export interface DeathFindings {
  crashes: Finding[];
  kills: Finding[];
}

export interface DeathTracker {
  /** The same answer for the same event object, however often it is asked. */
  of(event: ObserverEvent): DeathFindings;
}

/** Shared by `agent_crash` and `oom_kill`. `lanesMax`: sessions, and processes without one, that are remembered. */
export function createDeathTracker(options: { lanesMax: number }): DeathTracker {
  const runs = createRuns(options.lanesMax);
  const kills = createKills();
  const answers = new WeakMap<ObserverEvent, DeathFindings>();

  const work = (event: ObserverEvent): DeathFindings => {
    const run = runs.of(event);
    if (event.kind === "oom_kill") {
      return { crashes: [], kills: toldOf(kills.proof(proofOf(event, run)), event) };
    }
    const exit = EXIT_KINDS.has(event.kind) ? exitFacts(event.data) : null;
    const found = exit === null || run === null ? NOTHING : judge({ event, run, exit });
    if (run) noteWork(run, event);
    return found;
  };

  const judge = ({ event, run, exit }: Death): DeathFindings => {
    // A death that observer brought about itself is neither a crash nor the kernel's doing.
    if (event.data["killed_by"] === "observer") return NOTHING;
    const death = exit.signalName === "KILL" ? killedOf(event, run) : null;
    const told = death && kills.exit(death);
    const found = { crashes: [] as Finding[], kills: told ? toldOf(told, event) : [] };
    if (isChild(run, event)) return found;
    const inFlight = inFlightOf(run, event);
    if (!isCrash(exit, inFlight)) return found;
    if (isToldAlready(run, event)) {
      noteCrash(death, run);
      return found;
    }
    run.crash = { timeMs: event.timeMs, pid: event.pid, sessionId: event.sessionId };
    if (told || (death && kills.explains(death))) return found;
    const finding = crashFinding(event, { run, exit, inFlight });
    run.crash = { ...run.crash, fingerprint: finding.fingerprint, sessionId: finding.sessionId };
    noteCrash(death, run);
    found.crashes.push(finding);
    return found;
  };

  return {
    of(event) {
      const known = answers.get(event);
      if (known !== undefined) return known;
      const answer = work(event);
      answers.set(event, answer);
      return answer;
    },
  };
}

interface Death {
  event: ObserverEvent;
  run: Run;
  exit: ExitFacts;
}

/**
 * Nothing as long as the kill concerns no agent: the kernel tells of every process of the host. One that a sender
 * tells of, and one for want of the whole machine's memory, concern everybody.
 */
function toldOf({ kill, opened }: Told, event: ObserverEvent): Finding[] {
  const isOurs = kill.sessionId !== undefined || kill.agent !== undefined;
  const isOfAll = kill.constraint === "global" || event.source !== "kernel";
  if (!kill.isTold && !isOurs && !isOfAll) return [];
  const isFirst = opened || kill.isTold !== true;
  kill.isTold = true;
  return [killFinding({ kill, opened: isFirst }, event)];
}

function inFlightOf(run: Run, event: ObserverEvent): boolean {
  const { in_flight: stated } = event.data;
  if (typeof stated === "boolean") return stated;
  return isOwnProcess(run, event.pid) && (run.turnOpen || run.open.size > 0);
}

function isToldAlready({ crash }: Run, { pid, timeMs }: ObserverEvent): boolean {
  if (crash === undefined || Math.abs(timeMs - crash.timeMs) > SAME_DEATH_MS) return false;
  return pid === undefined || crash.pid === undefined || crash.pid === pid;
}

function killedOf(event: ObserverEvent, run: Run): Exit {
  const { id, host, timeMs, pid } = event;
  return {
    eventId: id,
    host,
    timeMs,
    // Who tells of a session's end speaks of the agent.
    pid: pid ?? run.agentPids.at(-1),
    sessionId: event.sessionId ?? run.sessionId,
    agentPid: pid ?? run.agentPids.at(-1),
    agent: event.agent ?? run.agent,
    cwd: directoryOf(event) ?? run.cwd,
  };
}

/** So that a proof that comes later turns the crash into what it was. */
function noteCrash(death: Exit | null, { crash }: Run): void {
  if (death === null || crash?.fingerprint === undefined) return;
  death.crash = { ...crash, fingerprint: crash.fingerprint };
}
