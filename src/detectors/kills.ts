// Puts the proofs of one kill by the kernel together: several sources tell of it, in any order and with different facts.

import { EVIDENCE_MAX } from "../core/interruption.ts";
import { EXIT_SIGNAL, type Proof, type ProofFacts, SOURCES_MAX } from "./kill-proof.ts";
import type { Crash } from "./runs.ts";

/** Proofs of one kill come within milliseconds; another kill of the same place may follow at once. */
const SAME_KILL_MS = 1_000;
// With the pid there is no doubt, and a large process takes seconds to be torn down; its number does not come again so soon.
const SAME_PID_MS = 30_000;
// Kills, and exits by SIGKILL that no proof explains yet, that are remembered.
const REMEMBERED_MAX = 256;

/** Where and when, for what names no pid. */
interface Place {
  host: string;
  timeMs: number;
  cgroup?: string | undefined;
  sessionId?: string | undefined;
  agentPid?: number | undefined;
}

export interface Kill extends ProofFacts, Place {
  /** Id of the event that proved it first, and its time. */
  id: string;
  sources: string[];
  /** Ids of the events that prove it. */
  evidence: string[];
  /** Proofs of a source that this kill already had: of another kill in this place, if one appears. */
  spare: Proof[];
  /** Crashes that were reported of this death before it was explained. */
  crashes: Crash[];
  /** The session under which it was reported; undefined: it was not yet. */
  reportedSession?: string | null;
  /** It was reported. */
  isTold?: boolean;
}

/** A death by SIGKILL. */
export interface Exit extends Place {
  eventId: string;
  /** Of the process that died, as far as it is known. */
  pid: number | undefined;
  agent: string | undefined;
  cwd: string | undefined;
  crash?: Crash;
}

export interface Told {
  kill: Kill;
  opened: boolean;
}

export interface Kills {
  /** Takes what an `oom_kill` event says. */
  proof(proof: Proof): Told;
  /** Takes a death by SIGKILL; null as long as nothing proves that it was for want of memory. Keeps the object. */
  exit(exit: Exit): Told | null;
  /** Whether a known kill explains a death that was told late. */
  explains(death: Exit): boolean;
}

export function createKills(): Kills {
  const kills: Kill[] = [];
  const exits: Exit[] = [];

  const open = (proof: Proof): Kill => {
    const { id, timeMs, host } = proof;
    const lists = { sources: [], evidence: [], spare: [], crashes: [] };
    const kill: Kill = { id, timeMs, host, ...lists };
    remember(kills, kill);
    return kill;
  };

  /** A second kill in one place: what the first was told twice may be its proof. */
  const takeSpare = (kill: Kill): void => {
    const other = kills.find((it) => it !== kill && it.spare.length > 0 && isNear(it, kill));
    const proof = other?.spare.shift();
    if (proof) addProof(kill, proof);
  };

  /** Takes the exits that were told before. Each may name the victim, so the next is looked at anew. */
  const adoptExits = (kill: Kill): void => {
    for (;;) {
      const at = exits.findIndex((exit) => isDeathOf(kill, exit));
      const [exit] = at < 0 ? [] : exits.splice(at, 1);
      if (!exit) return;
      addExit(kill, exit);
    }
  };

  return {
    proof(proof) {
      const known = proof.victimPid === undefined ? placed(kills, proof) : named(kills, proof);
      const kill = known ?? open(proof);
      addProof(kill, proof);
      if (!known && proof.victimPid !== undefined) takeSpare(kill);
      adoptExits(kill);
      return { kill, opened: known === undefined };
    },
    exit(exit) {
      const known = kills.find((kill) => isDeathOf(kill, exit));
      if (known) {
        addExit(known, exit);
        return { kill: known, opened: false };
      }
      const spare = kills.find((kill) => kill.spare.length > 0 && isNear(kill, exit));
      const proof = exit.pid === undefined ? undefined : spare?.spare.shift();
      if (!proof) {
        remember(exits, exit);
        return null;
      }
      const kill = open(proof);
      addProof(kill, proof);
      addExit(kill, exit);
      return { kill, opened: true };
    },
    explains: (death) =>
      kills.some((kill) => {
        if (kill.host !== death.host || !isWithin(kill, death, SAME_PID_MS)) return false;
        if (death.pid !== undefined && kill.victimPid !== undefined) {
          return death.pid === kill.victimPid;
        }
        return isSamePlace(kill, death);
      }),
  };
}

function remember<T>(list: T[], item: T): void {
  list.unshift(item);
  if (list.length > REMEMBERED_MAX) list.pop();
}

/** The kill of a proof that names the victim. */
function named(kills: Kill[], proof: Proof): Kill | undefined {
  const isSame = (kill: Kill): boolean =>
    kill.host === proof.host &&
    kill.victimPid === proof.victimPid &&
    isWithin(kill, proof, SAME_PID_MS);
  return (
    kills.find(isSame) ?? kills.find((kill) => kill.victimPid === undefined && isNear(kill, proof))
  );
}

/** The kill of a proof that names none: one of its place that this source has not told of, else any of its place. */
function placed(kills: Kill[], proof: Proof): Kill | undefined {
  const near = kills.filter((kill) => isNear(kill, proof));
  const isNew = (kill: Kill): boolean => !proof.sources.some((it) => kill.sources.includes(it));
  return near.find(isNew) ?? near[0];
}

function isNear(kill: Kill, at: Place): boolean {
  return isWithin(kill, at, SAME_KILL_MS) && isSamePlace(kill, at);
}

function isWithin(one: Place, other: Place, ms: number): boolean {
  return Math.abs(one.timeMs - other.timeMs) <= ms;
}

function isSamePlace(one: Place, other: Place): boolean {
  if (one.host !== other.host) return false;
  if (one.cgroup !== undefined && other.cgroup !== undefined) {
    return isSameCgroup(one.cgroup, other.cgroup);
  }
  if (one.sessionId !== undefined && other.sessionId !== undefined) {
    return one.sessionId === other.sessionId;
  }
  return one.agentPid !== undefined && one.agentPid === other.agentPid;
}

// The kernel's log names a cgroup from the root of its hierarchy, others by its directory.
function isSameCgroup(one: string, other: string): boolean {
  const [short, long] = one.length < other.length ? [one, other] : [other, one];
  return short === long || (short.length > 1 && short.startsWith("/") && long.endsWith(short));
}

function isDeathOf(kill: Kill, exit: Exit): boolean {
  if (kill.host !== exit.host) return false;
  if (exit.pid !== undefined && kill.victimPid !== undefined) {
    return exit.pid === kill.victimPid && isWithin(kill, exit, SAME_PID_MS);
  }
  return isNear(kill, exit);
}

function addProof(kill: Kill, proof: Proof): void {
  const { id: _, timeMs: _time, host: _host, sources, usageBytes, ...facts } = proof;
  if (proof.victimPid === undefined && sources.every((source) => kill.sources.includes(source))) {
    kill.spare.push(proof);
    if (kill.spare.length > SOURCES_MAX) kill.spare.shift();
  }
  addEvidence(kill, proof.id, sources);
  addFacts(kill, facts);
  // Read after the kill it is too low.
  if (usageBytes !== undefined) kill.usageBytes = Math.max(kill.usageBytes ?? 0, usageBytes);
}

function addExit(kill: Kill, exit: Exit): void {
  const { eventId, pid, sessionId, agent, cwd } = exit;
  addEvidence(kill, eventId, [EXIT_SIGNAL]);
  addFacts(kill, { victimPid: pid, sessionId, agent, cwd });
  if (exit.crash) kill.crashes.push(exit.crash);
}

function addEvidence(kill: Kill, eventId: string, sources: string[]): void {
  if (kill.evidence.length < EVIDENCE_MAX && !kill.evidence.includes(eventId)) {
    kill.evidence.push(eventId);
  }
  for (const source of sources) {
    if (kill.sources.length < SOURCES_MAX && !kill.sources.includes(source)) {
      kill.sources.push(source);
    }
  }
}

/** What is not known yet; what is known stays. */
function addFacts(kill: Kill, facts: ProofFacts): void {
  for (const [name, value] of Object.entries(facts) as [keyof ProofFacts, unknown][]) {
    if (value !== undefined && kill[name] === undefined) Object.assign(kill, { [name]: value });
  }
}
