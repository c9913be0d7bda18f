// What is stopped and let go on: one agent's tree, with all that is needed to find it again.

import type { FreezeMethod, ProcessId } from "../core/agent.ts";

/** Plain data: it travels to the guardian and to the disk. */
export interface Target {
  /** Agent id. */
  agent: string;
  /** The agent's own process. */
  root: ProcessId;
  method: FreezeMethod;
  /** `cgroup.freeze` or `freezer.state` of the agent's own cgroup; null for SIGSTOP. */
  path: string | null;
  /** Those that we stopped by SIGSTOP, in this order, so that only they are continued. Empty for a cgroup. */
  processes: ProcessId[];
}

/** Text form of one process, for messages: `PID:STARTTICKS`. */
export function processText({ pid, startTicks }: ProcessId): string {
  return `${pid}:${startTicks}`;
}

/** Null for what is none. */
export function parseProcessText(text: string): ProcessId | null {
  const match = /^([1-9]\d{0,9}):(\d{1,15})$/.exec(text);
  return match ? { pid: Number(match[1]), startTicks: Number(match[2]) } : null;
}

/** The same process, not only the same number. */
export function isSame(one: ProcessId, other: ProcessId): boolean {
  return one.pid === other.pid && one.startTicks === other.startTicks;
}

/** The pattern that a freeze file must match: nothing else is ever written to. */
const FREEZE_FILE = /^\/(?:[^/\0\n]+\/)+(?:cgroup\.freeze|freezer\.state)$/;

/** Checks what comes from a file or a pipe; null for what is no target. */
export function parseTarget(value: unknown): Target | null {
  if (typeof value !== "object" || value === null) return null;
  const { agent, root, method, path, processes } = value as Partial<Record<keyof Target, unknown>>;
  const id = processOf(root);
  if (typeof agent !== "string" || agent.length > AGENT_CHARS_MAX || !id) return null;
  if (method !== "cgroup.freeze" && method !== "freezer" && method !== "SIGSTOP") return null;
  if (!Array.isArray(processes)) return null;
  const ids = processes.map(processOf);
  if (!ids.every((one) => one !== null)) return null;
  if (method === "SIGSTOP")
    return path === null ? { agent, root: id, method, path, processes: ids } : null;
  if (typeof path !== "string" || !FREEZE_FILE.test(path) || path.includes("/../")) return null;
  if (!path.endsWith(method === "freezer" ? "/freezer.state" : "/cgroup.freeze")) return null;
  return { agent, root: id, method, path, processes: ids };
}

/** `PID-STARTTICKS` of two large numbers. */
const AGENT_CHARS_MAX = 40;

function processOf(value: unknown): ProcessId | null {
  if (typeof value !== "object" || value === null) return null;
  const { pid, startTicks } = value as Partial<Record<keyof ProcessId, unknown>>;
  if (!Number.isSafeInteger(pid) || !Number.isSafeInteger(startTicks)) return null;
  return Number(pid) > 0 && Number(startTicks) >= 0
    ? { pid: Number(pid), startTicks: Number(startTicks) }
    : null;
}
