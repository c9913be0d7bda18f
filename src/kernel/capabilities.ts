// What this host lets observer do: each feature is tried, and what is missing says why and what mends it.

import type { Capability } from "../core/agent.ts";
import { messageOf, ObserverError } from "../core/errors.ts";

/** What trying a feature found; a probe that throws found it missing. */
export interface Found {
  state: Capability["state"];
  reason: string;
  /** Instead of the usual advice; null when nothing mends this reason. An `ObserverError` says so by `fix: null` in its detail. */
  fix?: string | null;
}

export type Probe = () => Found | Promise<Found>;

export const CAPABILITY_NAMES = [
  "libc",
  "waiting_thread",
  "pidfd",
  "exit_status",
  "proc_connector",
  "kmsg",
  "psi",
  "psi_trigger",
  "cgroup_memory",
  "freezer",
  "cgroup_kill",
  "other_users",
] as const;
export type CapabilityName = (typeof CAPABILITY_NAMES)[number];

export type CapabilityProbes = Record<CapabilityName, Probe>;

interface Use {
  purpose: string;
  /** Absent where nothing but another kernel or host helps and the reason says so. */
  fix?: string;
}

const KERNEL_5_3 = "a kernel of at least Linux 5.3";

const USES: Record<CapabilityName, Use> = {
  libc: {
    purpose: "every call of the kernel that has no file",
    fix: "run on Linux with glibc 2.17 or later, or musl",
  },
  waiting_thread: {
    purpose: "to hear of deaths, OOM and pressure at once, and to freeze before a kill",
  },
  pidfd: { purpose: "to follow and to signal exactly one process", fix: KERNEL_5_3 },
  exit_status: {
    purpose: "exit code and signal of processes that observer did not start",
    fix: "a kernel of at least Linux 6.15",
  },
  proc_connector: {
    purpose: "to see each process start and end, short ones too",
    fix: "in the unit: AmbientCapabilities=CAP_NET_ADMIN",
  },
  kmsg: {
    purpose: "the kernel's own word on whom it killed for memory",
    fix: "sysctl -w kernel.dmesg_restrict=0, or in the unit: AmbientCapabilities=CAP_SYSLOG",
  },
  psi: {
    purpose: "the pressure that observer top and GET /vram show",
    fix: "boot the kernel with psi=1",
  },
  psi_trigger: {
    purpose: "a second warning of slow shortage of memory; nothing relies on it yet",
    fix: "boot the kernel with psi=1",
  },
  cgroup_memory: {
    purpose: "memory limits, use and OOM kills of agents; --memory-max of observer run",
    fix: "in the unit: Delegate=memory pids",
  },
  freezer: {
    purpose: "to stop all processes of an agent in one write, before a kill or for a checkpoint",
    fix: "in the unit: Delegate=memory pids",
  },
  cgroup_kill: {
    purpose: "to end all processes of an agent at once, those that fork too",
    fix: "a kernel of at least Linux 5.14 with cgroup v2, and in the unit: Delegate=memory pids",
  },
  other_users: {
    purpose: "working directory and environment of agents that other users run",
    fix: "in the unit: AmbientCapabilities=CAP_SYS_PTRACE",
  },
};

/** Tries everything, at the same time; takes some tens of milliseconds, at most a few seconds. Never throws. */
export async function probeCapabilities(probes: CapabilityProbes): Promise<Capability[]> {
  return Promise.all(CAPABILITY_NAMES.map((name) => probeOne(name, probes[name])));
}

async function probeOne(name: CapabilityName, probe: Probe): Promise<Capability> {
  const { state, reason, fix } = await tried(probe);
  const { purpose, fix: usual } = USES[name];
  const advice = state === "ok" ? undefined : fix === undefined ? usual : fix;
  return { name, state, purpose, reason, ...(advice ? { fix: advice } : {}) };
}

async function tried(probe: Probe): Promise<Found> {
  try {
    return await probe();
  } catch (thrown) {
    const unmended = thrown instanceof ObserverError && thrown.detail["fix"] === null;
    return { state: "missing", reason: messageOf(thrown), ...(unmended ? { fix: null } : {}) };
  }
}
