// The live agent: a process (and all it started) that was recognised, and the contracts of who finds and who brakes it.

/** A process, named so that a later one with its number is never taken for it. */
export interface ProcessId {
  pid: number;
  /** Clock ticks after boot at which it started: field 22 of /proc/PID/stat. */
  startTicks: number;
}

/** Directories of a process in the cgroup hierarchies that matter; null where the host has none. */
export interface CgroupDirectories {
  /** cgroup v2, also on hybrid hosts, where it has no memory controller. */
  unified: string | null;
  /** Where memory is counted and limited: the v1 controller's directory, else the one of v2. */
  memory: string | null;
  memoryVersion: 1 | 2 | null;
  /** v1 freezer. */
  freezer: string | null;
}

/** A live process that is an agent, with its descendants. Everything is read from the kernel unless said otherwise. */
export interface Agent extends ProcessId {
  /** `PID-STARTTICKS`: names it in the API and on the command line. */
  id: string;
  /** `claude-code`, `codex`, …, the name given to `observer run`, or a user's rule. */
  kind: string;
  /** Milliseconds since the epoch. */
  startedMs: number;
  /** Real uid. */
  uid: number;
  /** Null where it cannot be read, or where it is another mount namespace's path. */
  cwd: string | null;
  /** Command line, one printable line, clipped. */
  command: string;
  /** The session that it is known to run; of `observer run` until the agent's own is known. */
  sessionId: string | null;
  /** Confirmed workspace: of `observer run`, or the working directory of a process in our mount namespace. */
  workspace: string | null;
  /** Set when `observer run` started it. */
  runId: string | null;
  cgroups: CgroupDirectories;
  /** True when its cgroup was made for it alone (`observer run`), so that the whole cgroup may be frozen or killed. */
  ownCgroup: boolean;
}

/** Identifies an agent; the text form of its pid and start time. */
export function agentId({ pid, startTicks }: ProcessId): string {
  return `${pid}-${startTicks}`;
}

export interface AgentChange {
  kind: "found" | "changed" | "gone";
  agent: Agent;
}

/** The agents that live now. Sources keep it; everyone else reads. */
export interface AgentRegistry {
  list(): Agent[];
  get(id: string): Agent | null;
  /** The agent that this process is, or descends from; also for some seconds after its end. */
  ofPid(pid: number): Agent | null;
  /** The agent whose own cgroup this directory is or lies below; also for some seconds after its end. */
  ofCgroup(directory: string): Agent | null;
  /** Returns the function that ends it. */
  onChange(listener: (change: AgentChange) => void): () => void;
}

export const FREEZE_METHODS = ["cgroup.freeze", "freezer", "SIGSTOP"] as const;
export type FreezeMethod = (typeof FREEZE_METHODS)[number];

/** An agent that is stopped for a moment, so that its workspace can be saved. */
export interface Freeze {
  id: string;
  agent: Agent;
  method: FreezeMethod;
  /** When it was ordered, milliseconds since the epoch. */
  sinceMs: number;
  /** Lets it go on; harmless when it did already. Milliseconds that it was stopped. */
  thaw(): number;
}

/** What the waiting thread does by itself, within microseconds of the kernel's signal, before anyone is asked. */
export interface FreezeReflex {
  /** Writes in this order: first the guardian is told, then the freeze. */
  steps: { fd: number; bytes: Uint8Array }[];
  /** The steps were performed: the freeze is ours now. `atMs` since the epoch. */
  taken(atMs: number): Freeze;
  /** The steps were not and will not be performed. */
  dispose(): void;
}

/** Stops agents for at most `capMs`; a guardian process lets them go on even when observer dies meanwhile. */
export interface Freezer {
  /** Null when it must not or cannot be done: no guardian, the agent is gone, it is paused already. */
  freeze(agent: Agent, capMs: number): Freeze | null;
  /** Null where only signals can stop it: those need more than one write. */
  reflex(agent: Agent, capMs: number): FreezeReflex | null;
}

export interface PauseLease {
  agentId: string;
  pid: number;
  method: FreezeMethod;
  sinceMs: number;
  untilMs: number;
}

export interface KillReport {
  agentId: string;
  /** Processes of the tree that were seen, the agent first. */
  pids: number[];
  /** Those that needed SIGKILL after the grace. */
  killed: number[];
  /** Proven by pidfd or by the cgroup being empty; a kill with survivors is a failure. */
  survivors: number[];
  durationMs: number;
}

/** Brakes by hand and by policy. Errors: `ObserverError` `vanished`, `not_permitted`, `unsupported`, `failed`. */
export interface Brakes extends Freezer {
  /** Stops the tree until `resume` or `forMs` from now; survives a restart of observer. Pausing again renews the lease. */
  pause(agent: Agent, forMs: number): Promise<PauseLease>;
  resume(agent: Agent): Promise<void>;
  /** TERM to the tree, then KILL after `graceMs`, and proof that it is gone. */
  kill(agent: Agent, graceMs: number): Promise<KillReport>;
  lease(agentId: string): PauseLease | null;
  /** `frozen`: for a checkpoint. `paused`: by a lease. */
  stateOf(agent: Agent): "running" | "frozen" | "paused";
  /** True when observer itself ended this process a moment ago, so that its death is no crash. */
  endedByUs(process: ProcessId): boolean;
}

/** What this host lets observer do; what is missing has a reason, and the one command that mends it where there is one. */
export interface Capability {
  /** `pidfd`, `proc_connector`, `kmsg`, `psi`, `cgroup_memory`, `freezer`, … */
  name: string;
  state: "ok" | "degraded" | "missing";
  /** What observer uses it for. */
  purpose: string;
  reason: string;
  /** A command or setting; absent where nothing can be done. */
  fix?: string;
}
