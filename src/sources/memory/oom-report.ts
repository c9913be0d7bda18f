// Makes one event of each proof of a kill: whose the victim was, what was in use, and which sources say so.

import type { Agent, AgentRegistry } from "../../core/agent.ts";
import type { Clock } from "../../core/clock.ts";
import type { Offer } from "../../core/contracts.ts";
import { runSessionId } from "../../core/run.ts";
import { type CgroupMounts, directoryIn } from "../../kernel/cgroup.ts";
import { readHostMemory, readHostOomKills } from "../../kernel/host-memory.ts";
import type { Log } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { CountedKill } from "./counter-watch.ts";
import { fullSample, type MemorySample } from "./full-sample.ts";
import type { OomMemory } from "./oom-memory.ts";
import {
  type LoggedKill,
  oomEvent,
  type OomProof,
  type OomSource,
  type Owner,
} from "./oom-proof.ts";

/** Other proofs of a kill come within this time of the death. */
const EXIT_PATIENCE_MS = 300;

export interface ReportDeps {
  registry: AgentRegistry;
  mounts: CgroupMounts;
  offer: Offer;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** First 8 digits of the boot id. */
  boot: string;
  /** Name of observer's own cgroups: what is called so was made for a run. */
  cgroupParent: string;
  memory: OomMemory;
  /** /proc/vmstat; another file in tests. */
  vmstat?: string;
}

/** A kill that happened while observer was down, until its other proofs are found. */
export interface MissedKill {
  kill: LoggedKill;
  timeMs: number;
}

export interface OomReport {
  logged(kill: LoggedKill, when: { timeMs: number; missed: boolean }): void;
  counted(kill: CountedKill): void;
  /** A death by SIGKILL that only the host's count can explain. */
  exit(death: { pid: number; atMs: number }): void;
}

export function createOomReport(deps: ReportDeps): OomReport {
  const { registry, mounts, memory, metrics } = deps;
  const hostKills = createHostKills(deps.vmstat);
  const missed: MissedKill[] = [];

  const send = (proof: OomProof, owner: Owner | null, onKept: () => void): void => {
    for (const source of proof.sources) {
      metrics.add("observer_oom_proofs_total", 1, { source });
    }
    void deps.offer([oomEvent(proof, { boot: deps.boot, owner })]).then(([receipt]) => {
      if (receipt?.status !== "rejected") onKept();
      else
        deps.log.error("proof of a kill was not kept", { key: proof.key, reason: receipt.reason });
    });
  };
  const withHost = (source: OomSource, isNews: boolean): OomSource[] =>
    isNews && hostKills.rose() ? [source, "vmstat"] : [source];

  return {
    logged(kill, { timeMs, missed: isMissed }) {
      if (isMissed) missed.push({ kill, timeMs });
      const { owner, cgroup, limitAt } = placeOf(kill, deps);
      const sample = isMissed ? null : kill.global ? hostSample() : limitSample(limitAt, mounts);
      const proof: OomProof = {
        key: `kmsg:${kill.seq}`,
        timeMs,
        sources: withHost("kmsg", !isMissed),
        victimPid: kill.victimPid,
        comm: kill.comm,
        constraint: kill.global ? "global" : "memcg",
        anonRssBytes: kill.anonRssBytes,
        ...(cgroup !== null && { cgroup }),
        ...sample,
      };
      send(proof, owner, () => memory.setLoggedSeq(kill.seq));
    },
    counted(kill) {
      const { directory, inode, kills, constraint } = kill;
      const owner = ownerIn(directory, deps) ?? memory.cgroup(inode)?.owner ?? null;
      const logged = kill.missed ? takeMissed(missed, directory, mounts) : null;
      const proof: OomProof = {
        key: `cgroup:${inode}:${kills}`,
        timeMs: logged?.timeMs ?? kill.atMs,
        sources: withHost(
          kill.version === 1 ? "memory.oom_control" : "memory.events",
          !kill.missed,
        ),
        cgroup: directory,
        ...(constraint !== null && { constraint }),
        ...kill.sample,
      };
      send(proof, owner, () => memory.setCgroup(inode, { directory, kills, owner }));
    },
    exit({ pid, atMs }) {
      const agent = registry.ofPid(pid);
      if (!agent) return;
      // What a counter explains is taken from the host's count by then.
      setTimeout(() => {
        if (!hostKills.rose()) return;
        const key = `vmstat:${hostKills.total()}`;
        const proof: OomProof = { key, timeMs: atMs, sources: ["vmstat"], victimPid: pid };
        send(proof, ownerOf(agent), () => undefined);
      }, EXIT_PATIENCE_MS).unref();
    },
  };
}

/** Whose the victim of a logged kill was, where it lived, and where the limit that it reached is. */
function placeOf(
  kill: LoggedKill,
  { registry, mounts, memory, cgroupParent }: ReportDeps,
): { owner: Owner | null; cgroup: string | null; limitAt: string | null } {
  const victimAt = directoryOf(kill.victimCgroup, mounts);
  const agent =
    registry.ofPid(kill.victimPid) ?? (victimAt === null ? null : registry.ofCgroup(victimAt));
  const remembered = victimAt === null ? null : memory.ownerOfDirectory(victimAt);
  const agentAt = agent?.cgroups.memory ?? null;
  return {
    owner: agent ? ownerOf(agent) : (remembered ?? runOf(kill, victimAt, cgroupParent)),
    cgroup: victimAt ?? kill.victimCgroup ?? agentAt,
    limitAt: directoryOf(kill.limitCgroup, mounts) ?? agentAt ?? victimAt,
  };
}

/** Killed before its starter could tell of it: the cgroup that was made for it has the run's name. */
function runOf(
  { victimPid }: LoggedKill,
  directory: string | null,
  cgroupParent: string,
): Owner | null {
  const [parent, name] = directory?.split("/").slice(-2) ?? [];
  const runId = parent === cgroupParent ? /^run-([a-z0-9-]{1,64})$/.exec(name ?? "")?.[1] : null;
  if (!runId) return null;
  const sessionId = runSessionId(runId);
  return { pid: victimPid, kind: null, sessionId, workspace: null, cwd: null };
}

function directoryOf(path: string | null, { memory }: CgroupMounts): string | null {
  return path === null || memory === null ? null : directoryIn(memory, path);
}

function limitSample(
  directory: string | null,
  { memoryVersion }: CgroupMounts,
): MemorySample | null {
  if (directory === null || memoryVersion === null) return null;
  return fullSample(directory, memoryVersion);
}

export function ownerOf({ pid, kind, sessionId, workspace, cwd }: Agent): Owner {
  return { pid, kind, sessionId, workspace, cwd };
}

/** The agent of a cgroup: the one whose own it is, or the only one in it. */
function ownerIn(directory: string, { registry, mounts }: ReportDeps): Owner | null {
  const own = registry.ofCgroup(directory);
  if (own) return ownerOf(own);
  // What is killed in the root may be anyone's.
  if (directory === mounts.memory?.mountPoint) return null;
  const [agent, other] = registry.list().filter(({ cgroups }) => cgroups.memory === directory);
  return agent && !other ? ownerOf(agent) : null;
}

/** When the log says that a kill in this cgroup happened; each is taken once. */
function takeMissed(
  missed: MissedKill[],
  directory: string,
  mounts: CgroupMounts,
): MissedKill | null {
  const at = missed.findIndex(({ kill }) => directoryOf(kill.victimCgroup, mounts) === directory);
  // The log may have left out the line that names the cgroup.
  const any = at >= 0 ? at : missed.findIndex(({ kill }) => kill.victimCgroup === null);
  return any < 0 ? null : (missed.splice(any, 1)[0] ?? null);
}

function hostSample(): MemorySample | null {
  const host = readHostMemory();
  return host && { limitBytes: host.totalBytes, usageBytes: host.totalBytes - host.availableBytes };
}

/** The host's own count of kills: one rise is one kill, and explains one proof. */
function createHostKills(path?: string) {
  let seen = readHostOomKills(path);
  let unexplained = 0;
  return {
    /** True when the host counted a kill that no earlier proof was explained by. */
    rose(): boolean {
      const now = readHostOomKills(path);
      unexplained += (now ?? 0) - (seen ?? now ?? 0);
      seen = now;
      if (unexplained <= 0) return false;
      unexplained -= 1;
      return true;
    },
    total: (): number => seen ?? 0,
  };
}
