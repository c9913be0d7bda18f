// What the source keeps of one agent beyond what others see of it.

import type { Agent, CgroupDirectories } from "../../core/agent.ts";
import type { SessionTies } from "./ties.ts";

export interface AgentRecord {
  agent: Agent;
  /**
   * Kind that its command line says, which decides whose a descendant is; null for a program of `observer run` that
   * no rule knows.
   */
  ruleKind: string | null;
  ties: SessionTies;
  /** Milliseconds since the epoch; null while it lives. */
  endedMs: number | null;
  /** Its orphans were looked at, and those of its own kind made agents. */
  orphansSeen: boolean;
}

/** A process of an agent's tree, the agent's own included. */
export interface Member {
  /** Null until it was looked at: a fork tells no start time. */
  startTicks: number | null;
  agentId: string;
  /** Kind that its command line says. */
  kind: string | null;
  /** Milliseconds since the epoch; null while it lives. */
  goneMs: number | null;
}

/** Name of the cgroup that `observer run` makes. */
export function runCgroupName(runId: string): string {
  return `run-${runId}`;
}

/** Run whose own cgroup one of the directories is, below observer's own parent; null for any other. */
export function runIdOf(cgroups: CgroupDirectories, parentName: string): string | null {
  for (const directory of [cgroups.unified, cgroups.memory, cgroups.freezer]) {
    const [parent, name] = directory?.split("/").slice(-2) ?? [];
    if (parent === parentName && name?.startsWith("run-")) return name.slice("run-".length);
  }
  return null;
}

/**
 * The directories of a process that was started by `observer run`, without those that it shares with others: what
 * is left may be frozen and killed as a whole. Null when nothing is left, or when memory is counted with others.
 */
export function ownDirectories(
  cgroups: CgroupDirectories,
  { runId, parentName }: { runId: string; parentName: string },
): CgroupDirectories | null {
  const isOwn = (directory: string | null): boolean =>
    directory?.endsWith(`/${parentName}/${runCgroupName(runId)}`) ?? false;
  const { unified, memory, freezer } = cgroups;
  if (memory !== null && !isOwn(memory)) return null;
  if (![unified, memory, freezer].some(isOwn)) return null;
  return {
    ...cgroups,
    unified: isOwn(unified) ? unified : null,
    freezer: isOwn(freezer) ? freezer : null,
  };
}
