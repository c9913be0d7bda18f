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
  /** `observer run --name` gave its kind, which stays whatever program it becomes. */
  isNamed: boolean;
  /** The run that an agent above it belongs to. */
  runAbove: string | null;
  ties: SessionTies;
  /** Milliseconds since the epoch; null while it lives. */
  endedMs: number | null;
  /** Its end is stored. */
  isTold: boolean;
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

/** Units of systemd that `observer run` asks for are named so, with the run and `.scope` behind it. */
const SCOPE_PREFIX = "observer-run-";

/** Run whose own cgroup one of the directories is or lies below; null for any other. */
export function runIdOf(cgroups: CgroupDirectories, parentName: string): string | null {
  for (const directory of [cgroups.unified, cgroups.memory, cgroups.freezer]) {
    const parts = directory?.split("/") ?? [];
    for (const [at, part] of parts.entries()) {
      if (part.startsWith("run-") && parts[at - 1] === parentName) return part.slice(4);
      if (part.startsWith(SCOPE_PREFIX) && part.endsWith(".scope")) {
        return part.slice(SCOPE_PREFIX.length, -".scope".length);
      }
    }
  }
  return null;
}

/** The directory up to the one that was made for the run, whose processes may have gone deeper; null for any other. */
export function upToRun(
  directory: string | null,
  { runId, parentName }: { runId: string; parentName: string },
): string | null {
  const parts = directory?.split("/") ?? [];
  const at = parts.findIndex(
    (part, index) =>
      (part === `run-${runId}` && parts[index - 1] === parentName) ||
      part === `${SCOPE_PREFIX}${runId}.scope`,
  );
  return at < 1 ? null : parts.slice(0, at + 1).join("/");
}

/**
 * The directories of a process that was started by `observer run`. What was made for it may be frozen and killed as a
 * whole; what it shares with others is left out, but for where its memory is counted. Null when nothing is its own.
 */
export function ownDirectories(
  cgroups: CgroupDirectories,
  run: { runId: string; parentName: string },
): CgroupDirectories | null {
  const unified = upToRun(cgroups.unified, run);
  const freezer = upToRun(cgroups.freezer, run);
  const memory = upToRun(cgroups.memory, run);
  if (unified === null && freezer === null && memory === null) return null;
  return { ...cgroups, unified, freezer, memory: memory ?? cgroups.memory };
}
