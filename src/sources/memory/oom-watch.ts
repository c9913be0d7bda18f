// Kills for want of memory, as the kernel proves them: its log, its counters of each agent's cgroup, its count of the host.

import type { Agent } from "../../core/agent.ts";
import { bootTimeMs } from "../../kernel/boot.ts";
import { monotonicMs } from "../../kernel/monotonic.ts";
import type { Watcher } from "../../kernel/watcher.ts";
import type { Facts } from "../../store/meta.ts";
import { type CounterWatch, createCounterWatch } from "./counter-watch.ts";
import { type KmsgWatch, watchKmsg } from "./kmsg-watch.ts";
import { createOomMemory, type OomMemory } from "./oom-memory.ts";
import { createOomReport, type OomReport, ownerOf, type ReportDeps } from "./oom-report.ts";

/** An agent's last kill is counted a moment after the agent is gone. */
const KEEP_GONE_MS = 2_000;
const US_PER_MS = 1_000;

export interface OomDeps extends Omit<ReportDeps, "memory"> {
  watcher: Watcher | null;
  facts: Facts;
  /** The kernel reports anything about the memory of this cgroup. */
  onSignal(directory: string): void;
}

export interface OomWatch {
  /** Why the kernel's log cannot be read; null when it can. */
  kmsgReason: string | null;
  /** A process of an agent ended by SIGKILL. Matters where the kernel's log cannot be read. */
  noteKilled(death: { pid: number; atMs: number }): void;
  stop(): void;
}

/** The registry should know the agents that live already: kills that happened meanwhile are told at once. */
export function startOomWatch(deps: OomDeps): OomWatch {
  const { clock, log } = deps;
  const memory = createOomMemory(deps.boot, deps);
  const report = createOomReport({ ...deps, memory });
  const kmsg = watchKmsg({
    ...deps,
    onKill: (kill, atMs) => {
      const nowMs = clock.now();
      const timeMs = atMs === null ? nowMs : nowMs - (monotonicMs() - atMs);
      report.logged(kill, { timeMs, missed: false });
    },
  });
  if (kmsg.reason !== null) {
    log.warn("the kernel's log cannot be read: kills are told by counters and exits alone", {
      reason: kmsg.reason,
    });
  }
  takeBacklog(kmsg, { nowMs: clock.now(), memory, report });
  const counters = createCounterWatch({ ...deps, onKill: report.counted });
  const stopFollowing = followAgents(deps, { counters, memory });
  return {
    kmsgReason: kmsg.reason,
    noteKilled(death) {
      if (kmsg.reason !== null) report.exit(death);
    },
    stop() {
      stopFollowing();
      counters.stop();
      kmsg.stop();
    },
  };
}

/** Kills that the log tells of from before the start: those that no earlier run of observer took. */
function takeBacklog(
  { backlog, newestSeq }: KmsgWatch,
  { nowMs, memory, report }: { nowMs: number; memory: OomMemory; report: OomReport },
): void {
  const last = memory.loggedSeq();
  if (newestSeq === null) return;
  // Before the first start nobody was promised anything.
  if (last === "never") return memory.setLoggedSeq(newestSeq);
  const bootMs = bootTimeMs(nowMs);
  for (const kill of backlog) {
    if (last !== null && kill.seq <= last) continue;
    // The log's clock trails by up to seconds on some machines: it is an estimate.
    const timeMs = Math.min(nowMs, bootMs + kill.atUs / US_PER_MS);
    report.logged(kill, { timeMs, missed: true });
  }
}

/** Counts in the cgroup of each agent, for as long as one lives in it. Returns the function that ends it. */
function followAgents(
  { registry }: OomDeps,
  { counters, memory }: { counters: CounterWatch; memory: OomMemory },
): () => void {
  const places = new Map<string, string>();
  const leaving = new Set<ReturnType<typeof setTimeout>>();

  const enter = (agent: Agent): void => {
    const { memory: directory, memoryVersion: version } = agent.cgroups;
    if (places.get(agent.id) !== directory) leave(agent.id);
    if (directory === null || version === null) return;
    const since = (inode: number): number | null => memory.cgroup(inode)?.kills ?? null;
    const found = counters.add({ directory, version, since });
    if (!found) return;
    places.set(agent.id, directory);
    const { inode } = found;
    // What rose meanwhile is remembered when its event is kept.
    const kills = memory.cgroup(inode)?.kills ?? found.kills;
    memory.setCgroup(inode, { directory, kills, owner: ownerOf(agent) });
  };
  const leave = (agentId: string): void => {
    const directory = places.get(agentId);
    if (directory === undefined) return;
    places.delete(agentId);
    if (![...places.values()].includes(directory)) counters.remove(directory);
  };

  for (const agent of registry.list()) enter(agent);
  const unsubscribe = registry.onChange(({ kind, agent }) => {
    if (kind !== "gone") return enter(agent);
    const timer = setTimeout(() => {
      leaving.delete(timer);
      leave(agent.id);
    }, KEEP_GONE_MS);
    timer.unref();
    leaving.add(timer);
  });
  return () => {
    unsubscribe();
    for (const timer of leaving) clearTimeout(timer);
  };
}
