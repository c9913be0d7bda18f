// The words of an `oom_kill`.

import type { ObserverEvent } from "../core/event.ts";
import type { Finding } from "../core/interruption.ts";
import { formatSize } from "../core/units.ts";
import { findingAt } from "./finding.ts";
import type { Kill, Told } from "./kills.ts";

/**
 * A finding of all that is known of the kill so far. The one that opens it turns crashes that were reported of this
 * death into it; later ones only add proof.
 */
export function killFinding({ kill, opened }: Told, event: ObserverEvent): Finding {
  const finding = findingAt(event, {
    type: "oom_kill",
    fingerprint: `oom:${kill.id}`,
    summary: describe(kill),
    detail: {
      victim_pid: kill.victimPid ?? null,
      comm: kill.comm ?? null,
      sources: [...kill.sources],
      constraint: kill.constraint ?? null,
      memory_limit_bytes: kill.limitBytes ?? null,
      memory_usage_bytes: kill.usageBytes ?? null,
      ...(kill.anonRssBytes === undefined ? {} : { anon_rss_bytes: kill.anonRssBytes }),
      ...(kill.cgroup === undefined ? {} : { cgroup: kill.cgroup }),
    },
    evidence: [...kill.evidence],
  });
  const supersedes = supersededBy(kill, opened);
  const { pid: _, ...rest } = finding;
  return {
    ...rest,
    // The kill happened when it was first told; what only adds to it came later.
    timeMs: opened ? kill.timeMs : event.timeMs,
    ...(kill.sessionId === undefined ? {} : { sessionId: kill.sessionId }),
    ...(kill.agent === undefined ? {} : { agent: kill.agent }),
    ...(kill.victimPid === undefined ? {} : { pid: kill.victimPid }),
    ...(kill.cwd === undefined ? {} : { cwd: kill.cwd }),
    ...(supersedes.length === 0 ? {} : { supersedes }),
    ...(opened ? {} : { addsProof: true }),
  };
}

function supersededBy(kill: Kill, opened: boolean): NonNullable<Finding["supersedes"]> {
  const crashes = kill.crashes.splice(0);
  // The row keeps the session under which it was opened: later proofs must name the same.
  if (opened && crashes[0] !== undefined) kill.sessionId = crashes[0].sessionId ?? kill.sessionId;
  const superseded = crashes.map(({ fingerprint, sessionId }) => ({
    type: "agent_crash" as const,
    fingerprint,
    sessionId: sessionId ?? null,
  }));
  const before = kill.reportedSession;
  kill.reportedSession = kill.sessionId ?? null;
  if (opened || before === kill.reportedSession) return superseded;
  // It was opened before anyone could say whose it was.
  const own = {
    type: "oom_kill" as const,
    fingerprint: `oom:${kill.id}`,
    sessionId: before ?? null,
  };
  return [own, ...superseded];
}

function describe(kill: Kill): string {
  const process = kill.comm ?? "a process";
  const pid = kill.victimPid === undefined ? "" : ` (pid ${kill.victimPid})`;
  const whose = kill.agent === undefined ? "" : ` of ${kill.agent}`;
  return `${process}${pid}${whose} was killed by the kernel: ${reason(kill)}`;
}

function reason({ constraint, limitBytes }: Kill): string {
  if (constraint === "global") return "the machine was out of memory";
  const limit = limitBytes === undefined ? "" : ` of ${formatSize(limitBytes)}`;
  if (constraint === "memcg" || limit !== "") return `its memory limit${limit} was reached`;
  return "out of memory";
}
