// The events of processes: drafts with natural keys, so that a fact that is seen twice is stored once.

import type { ProcessId } from "../../core/agent.ts";
import type { EventDraft } from "../../core/event.ts";
import type { AgentRecord } from "./record.ts";

/** Who told of an end, or what was read of it. */
export type SeenBy = "pidfd" | "proc_connector" | "zombie" | "parent" | "gone";

export interface ExitStatus {
  exitCode: number | null;
  /** `SIGKILL`. */
  signal: string | null;
  coreDumped: boolean;
}

export interface Exit {
  /** Null when nobody could tell. */
  status: ExitStatus | null;
  /** Milliseconds since the epoch; null when it ended unseen. */
  atMs: number | null;
  seenBy: SeenBy[];
  reason?: string;
}

export interface StartFacts {
  boot: string;
}

export function startEvent({ agent }: AgentRecord, { boot }: StartFacts): EventDraft {
  const { pid, startTicks } = agent;
  return {
    kind: "process_start",
    source: "kernel",
    id: `start:${boot}:${pid}:${startTicks}`,
    timeMs: agent.startedMs,
    pid,
    agent: agent.kind,
    ...sessionAndWorkspace(agent),
    data: {
      command: agent.command,
      ...(agent.cwd !== null && { cwd: agent.cwd }),
      uid: agent.uid,
      start_ticks: startTicks,
      ...(agent.runId !== null && { run_id: agent.runId }),
    },
  };
}

function sessionAndWorkspace({
  sessionId,
  workspace,
}: Pick<AgentRecord["agent"], "sessionId" | "workspace">): Partial<EventDraft> {
  return {
    ...(sessionId !== null && { sessionId }),
    ...(workspace !== null && { workspace }),
  };
}

export interface EndFacts {
  boot: string;
  exit: Exit;
  endedByUs: boolean;
}

/** The end of an agent. */
export function exitEvent({ agent }: AgentRecord, { boot, exit, endedByUs }: EndFacts): EventDraft {
  const { pid, startTicks } = agent;
  const cwd = agent.cwd ?? undefined;
  return {
    kind: "process_exit",
    source: "kernel",
    id: exitKey({ boot, pid, startTicks }),
    ...(exit.atMs !== null && { timeMs: exit.atMs }),
    pid,
    agent: agent.kind,
    ...sessionAndWorkspace(agent),
    data: {
      ...statusData(exit.status),
      ...(exit.atMs !== null && { duration_ms: Math.max(0, exit.atMs - agent.startedMs) }),
      ...(exit.reason !== undefined && { reason: exit.reason }),
      ...(cwd !== undefined && { cwd }),
      seen_by: exit.seenBy,
      ...(endedByUs && { killed_by: "observer" }),
    },
  };
}

export interface ChildEnd extends EndFacts {
  pid: number;
  /** Null when it was never looked at. */
  startTicks: number | null;
  /** The kernel's short name of it; null when it was never looked at. */
  comm: string | null;
  startedMs: number | null;
}

/** The violent end of a process that an agent started. */
export function childExitEvent({ agent }: AgentRecord, child: ChildEnd): EventDraft {
  const { boot, exit, pid, startTicks, startedMs } = child;
  return {
    kind: "process_exit",
    source: "kernel",
    // Without a start time the moment of the death tells it from a later process of that number.
    id: exitKey({ boot, pid, startTicks: startTicks ?? `at${Math.round(exit.atMs ?? 0)}` }),
    ...(exit.atMs !== null && { timeMs: exit.atMs }),
    pid,
    agent: agent.kind,
    ...sessionAndWorkspace(agent),
    data: {
      ...statusData(exit.status),
      ...(exit.atMs !== null &&
        startedMs !== null && { duration_ms: Math.max(0, exit.atMs - startedMs) }),
      ...(child.comm !== null && { comm: child.comm }),
      seen_by: exit.seenBy,
      child: true,
      ...(child.endedByUs && { killed_by: "observer" }),
    },
  };
}

export function exitKey({
  boot,
  pid,
  startTicks,
}: {
  boot: string;
  pid: ProcessId["pid"];
  startTicks: number | string;
}): string {
  return `exit:${boot}:${pid}:${startTicks}`;
}

function statusData(status: ExitStatus | null): Record<string, unknown> {
  if (status === null) return {};
  return {
    ...(status.exitCode !== null && { exit_code: status.exitCode }),
    ...(status.signal !== null && { signal: status.signal }),
    ...(status.coreDumped && { core_dumped: true }),
  };
}
