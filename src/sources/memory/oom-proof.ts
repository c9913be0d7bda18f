// Turns what one source of the kernel tells of a kill into an event. Pure.

import type { Agent } from "../../core/agent.ts";
import type { EventDraft } from "../../core/event.ts";
import type { KmsgRecord, OomConstraint, OomKill } from "../../kernel/kmsg.ts";

export type OomSource = "kmsg" | "memory.oom_control" | "memory.events" | "vmstat";

export interface OomProof {
  /** Natural key of the proof, without the boot. */
  key: string;
  /** Milliseconds since the epoch. */
  timeMs: number;
  sources: OomSource[];
  victimPid?: number;
  comm?: string;
  constraint?: "memcg" | "global";
  /** Directory where it is shown here, else the kernel's own name of it. */
  cgroup?: string;
  limitBytes?: number;
  usageBytes?: number;
  anonRssBytes?: number;
}

/** Whose the victim was; what is remembered of it when it is gone. */
export type Owner = Pick<Agent, "pid" | "sessionId" | "workspace" | "cwd"> & {
  /** Null where only the name of its cgroup tells whose it was. */
  kind: string | null;
};

/** One event for each proof. `boot`: first 8 digits of the boot id. `owner`: null for a process that is no agent's. */
export function oomEvent(
  proof: OomProof,
  { boot, owner }: { boot: string; owner: Owner | null },
): EventDraft {
  const { victimPid, comm, constraint, cgroup, limitBytes, usageBytes, anonRssBytes } = proof;
  return {
    kind: "oom_kill",
    source: "kernel",
    id: `oom:${boot}:${proof.key}`,
    timeMs: Math.round(proof.timeMs),
    ...(victimPid !== undefined && { pid: victimPid }),
    ...(owner?.kind && { agent: owner.kind }),
    ...(owner?.sessionId && { sessionId: owner.sessionId }),
    ...(owner?.workspace && { workspace: owner.workspace }),
    data: {
      sources: proof.sources,
      ...(victimPid !== undefined && { victim_pid: victimPid }),
      ...(comm !== undefined && { comm }),
      ...(constraint !== undefined && { constraint }),
      ...(cgroup !== undefined && { cgroup }),
      ...(limitBytes !== undefined && { memory_limit_bytes: limitBytes }),
      ...(usageBytes !== undefined && { memory_usage_bytes: usageBytes }),
      ...(anonRssBytes !== undefined && { anon_rss_bytes: anonRssBytes }),
      ...(owner !== null && { agent_pid: owner.pid }),
      ...(owner?.cwd && { cwd: owner.cwd }),
    },
  };
}

/** A kill as the kernel's log tells it. */
export interface LoggedKill extends OomKill {
  seq: number;
  /** Microseconds of the log's own clock. */
  atUs: number;
  /** Paths in the memory hierarchy; null where the log did not say. */
  victimCgroup: string | null;
  limitCgroup: string | null;
}

export interface LogLines {
  parseLine(text: string): OomKill | null;
  parseConstraint(text: string): OomConstraint | null;
}

/** Constraint lines whose kill has not been told yet; the kernel writes them one after the other. */
const PENDING_MAX = 16;

/** Puts the two lines of one kill together: the first may be missing, because the kernel limits its rate. */
export function createLoggedKills({ parseLine, parseConstraint }: LogLines) {
  const pending = new Map<number, OomConstraint>();
  return (record: KmsgRecord): LoggedKill | null => {
    // Programs may write such lines too.
    if (!record.fromKernel) return null;
    const constraint = parseConstraint(record.text);
    if (constraint) {
      pending.set(constraint.victimPid, constraint);
      const oldest = pending.size > PENDING_MAX ? pending.keys().next().value : undefined;
      if (oldest !== undefined) pending.delete(oldest);
      return null;
    }
    const kill = parseLine(record.text);
    if (!kill) return null;
    const known = pending.get(kill.victimPid);
    pending.delete(kill.victimPid);
    return {
      ...kill,
      seq: record.seq,
      atUs: record.atUs,
      victimCgroup: known?.victimCgroup ?? null,
      limitCgroup: known?.limitCgroup ?? null,
    };
  };
}
