// A run: one command that `observer run` started, as the client tells the daemon of it.

import type { CgroupDirectories } from "./agent.ts";

/** How CMD is held together: an own cgroup, a scope of systemd, or only a process group. */
export const CONTAINMENTS = ["cgroup", "scope", "group"] as const;
export type Containment = (typeof CONTAINMENTS)[number];

/** What `observer run` claims of its CMD; everything is confirmed from /proc before it is used. */
export interface RunRequest {
  /** Given by the client, so that telling it twice is the same run; see `ID_PATTERN`. */
  id: string;
  /** Kind of the agent; null where the command itself shall tell. */
  name: string | null;
  pid: number;
  /** Clock ticks after boot at which it started. */
  startTicks: number;
  /** Milliseconds since the epoch. */
  startedMs: number;
  /** Words of the command line, the first ones, each clipped. */
  command: string[];
  cwd: string;
  /** Null where the working directory was refused as one. */
  workspace: string | null;
  containment: Containment;
  /** What was made for it; null where nothing could be. */
  cgroups: CgroupDirectories | null;
  /** Limit that was set; null for none. */
  memoryLimitBytes: number | null;
}

export interface AdoptedRun {
  runId: string;
  sessionId: string;
  /** `PID-STARTTICKS`. */
  agentId: string;
  /** The workspace as the daemon confirmed it; null for none. */
  workspace: string | null;
}

/**
 * How CMD ended, as its parent saw it, with what tells of one that was over before the daemon looked. One of code and
 * signal is null.
 */
export interface RunExit extends Pick<
  RunRequest,
  "pid" | "startTicks" | "name" | "workspace" | "command"
> {
  exitCode: number | null;
  /** `SIGKILL`. */
  signal: string | null;
  durationMs: number;
}

/** The session that a run is until the agent names its own. */
export function runSessionId(runId: string): string {
  return `run-${runId}`;
}
