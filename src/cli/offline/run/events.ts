// A run as native events, for when no daemon takes it: the same keys as the daemon's own, so that nothing counts twice.

import { clip, isoTime, printable } from "../../../core/text.ts";
import { type RunExit, type RunRequest, runSessionId } from "../../../core/run.ts";

type NativeEvent = Record<string, unknown>;

/** Digits of the boot id that stand in keys. */
const BOOT_DIGITS = 8;

export interface RunFacts {
  request: RunRequest;
  /** Kind of the agent: its name, else that of its program. */
  agent: string;
  uid: number;
  /** `/proc/sys/kernel/random/boot_id`. */
  bootId: string;
}

/** How CMD ended, as its parent saw it. */
export type RunEnd = Pick<RunExit, "exitCode" | "signal" | "durationMs">;

/** Longest command line in an event. */
const COMMAND_SHOWN_MAX = 2_000;

/** Processes of the run's own cgroup that the kernel killed for want of memory. */
export interface OomKills {
  count: number;
  cgroup: string;
  /** Of the cgroup's directory: tells it from a later one of that name. */
  inode: number;
  /** File that counts them. */
  source: "memory.oom_control" | "memory.events";
  limitBytes: number | null;
}

/** `session_start` and `process_start`. */
export function startEvents(facts: RunFacts): NativeEvent[] {
  const { request, uid } = facts;
  const time = isoTime(request.startedMs);
  const { cwd } = request;
  const command = clip(printable(request.command.join(" ")), COMMAND_SHOWN_MAX);
  return [
    { kind: "session_start", ...common(facts), time, ...own(request, "start"), cwd },
    {
      kind: "process_start",
      ...common(facts),
      time,
      ...kernelKey("start", facts),
      cwd,
      command,
      uid,
      start_ticks: request.startTicks,
      run_id: request.id,
    },
  ];
}

/**
 * `process_exit` and `session_end`, and `oom_kill` before them: the count goes with the cgroup. How it ended stands in
 * the exit only, so that one death is one crash.
 */
export function endEvents(facts: RunFacts, exit: RunEnd, oom: OomKills | null): NativeEvent[] {
  const { request } = facts;
  const time = isoTime(request.startedMs + exit.durationMs);
  const { cwd } = request;
  const reason = exit.signal === null ? "exit" : "signal";
  return [
    ...(oom === null ? [] : [oomEvent(facts, oom, time)]),
    {
      kind: "process_exit",
      ...common(facts),
      time,
      ...kernelKey("exit", facts),
      cwd,
      ...(exit.exitCode === null ? {} : { exit_code: exit.exitCode }),
      ...(exit.signal === null ? {} : { signal: exit.signal }),
      duration_ms: exit.durationMs,
      seen_by: ["parent"],
      run_id: request.id,
    },
    { kind: "session_end", ...common(facts), time, ...own(request, "end"), cwd, reason },
  ];
}

function oomEvent({ request, agent, bootId }: RunFacts, oom: OomKills, time: string): NativeEvent {
  return {
    kind: "oom_kill",
    session_id: runSessionId(request.id),
    agent,
    ...(request.workspace === null ? {} : { workspace: request.workspace }),
    time,
    source: "kernel",
    id: `oom:${bootId.slice(0, BOOT_DIGITS)}:cgroup:${oom.inode}:${oom.count}`,
    sources: [oom.source],
    constraint: "memcg",
    cgroup: oom.cgroup,
    ...(oom.limitBytes === null ? {} : { memory_limit_bytes: oom.limitBytes }),
  };
}

function common({ request, agent }: RunFacts): NativeEvent {
  return {
    session_id: runSessionId(request.id),
    pid: request.pid,
    agent,
    ...(request.workspace === null ? {} : { workspace: request.workspace }),
  };
}

function own(request: RunRequest, what: string): NativeEvent {
  return { source: "run", id: `run:${request.id}:${what}` };
}

function kernelKey(what: string, { request, bootId }: RunFacts): NativeEvent {
  const { pid, startTicks } = request;
  return { source: "kernel", id: `${what}:${bootId.slice(0, BOOT_DIGITS)}:${pid}:${startTicks}` };
}
