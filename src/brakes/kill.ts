// Ends one agent's tree: TERM, a grace, KILL, and the proof that nothing of it is left.

import { join } from "node:path";
import type { Agent, KillReport, ProcessId } from "../core/agent.ts";
import type { Clock } from "../core/clock.ts";
import { ObserverError } from "../core/errors.ts";
import { processesIn } from "../kernel/cgroup-control.ts";
import { writeKernelFile } from "../kernel/kernel-file.ts";
import type { Ended } from "./ended.ts";
import { type BrakeSignal, endedOf, type Handle, hold, release, signal } from "./handle.ts";
import { ownDirectories } from "./own-cgroup.ts";
import { lineage, whyProtected } from "./refusal.ts";
import { lookAtTree, startTree, type TreeMemory } from "./tree.ts";

/** How often it is asked whether they have ended: one poll for all of them. */
const POLL_MS = 20;
/** How often all processes are looked through for new descendants; 5 ms of work with 500 processes. */
const LOOK_MS = 60;
/** After SIGKILL a process is gone within milliseconds, unless it waits for a device. */
const KILL_PATIENCE_MS = 5_000;
const AGAIN_MS = 10;

export interface KillDeps {
  clock: Clock;
  ended: Ended;
  guardian(): ProcessId | null;
  /** Stops the tree, with the guardian watching, so that it starts nothing while it is signalled; a function that lets it go on, or null. */
  halt(agent: Agent, tree: TreeMemory): (() => void) | null;
  /** Ends every freeze and pause of it. */
  letGo(agent: Agent): void;
}

/** Throws `ObserverError` `vanished`, `not_permitted`, `unsupported`, `failed` (with the report in its detail). */
export async function killTree(agent: Agent, graceMs: number, deps: KillDeps): Promise<KillReport> {
  const startMs = deps.clock.monotonic();
  const hunt: Hunt = {
    agent,
    deps,
    tree: startTree(agent),
    own: ownDirectories(agent),
    seen: new Set(),
    alive: new Map(),
    pids: [],
    killed: new Set(),
    refused: false,
    unheld: [],
  };
  try {
    look(hunt);
    if (!hunt.alive.has(keyOf(agent)))
      throw new ObserverError(
        "vanished",
        `Agent ${agent.id} is gone: process ${agent.pid} has ended or is another one now`,
      );
    terminate(hunt);
    await awaitEnd(hunt, graceMs);
    await killRest(hunt);
    return reportOf(hunt, deps.clock.monotonic() - startMs);
  } finally {
    for (const handle of hunt.alive.values()) release(handle);
  }
}

/** One kill. Every process is held from when it was first seen: it is not lost when its parent ends, nor mistaken. */
interface Hunt {
  agent: Agent;
  deps: KillDeps;
  tree: TreeMemory;
  own: ReturnType<typeof ownDirectories>;
  /** By `keyOf`. */
  seen: Set<string>;
  alive: Map<string, Handle>;
  /** All that were alive when they were seen. */
  pids: number[];
  /** Those that were sent SIGKILL. */
  killed: Set<number>;
  /** One of them may not be signalled. */
  refused: boolean;
  /** Those that the last look could not take hold of: there are too many for our open files. The next look tries again. */
  unheld: number[];
}

const keyOf = ({ pid, startTicks }: ProcessId): string => `${pid}-${startTicks}`;

/** Takes hold of what is new in the tree, and returns it. Throws `unsupported` when it must not be touched. */
function look(hunt: Hunt): Handle[] {
  const { agent, deps, seen, alive } = hunt;
  const stats = lookAtTree(hunt.tree, hunt.own.all.flatMap(processesIn));
  const fresh = stats.filter((stat) => !seen.has(keyOf(stat)));
  hunt.unheld = [];
  if (fresh.length === 0) return [];
  const why = whyProtected(
    fresh.map(({ pid }) => pid),
    [...stats, ...lineage()],
    { self: process.pid, guardian: deps.guardian() },
  );
  if (why !== null) throw new ObserverError("unsupported", `Cannot kill agent ${agent.id}: ${why}`);
  const handles = fresh.map((id) => tryHold(hunt, id)).filter((handle) => handle !== null);
  const over = new Set(endedOf(handles));
  for (const handle of handles) {
    seen.add(keyOf(handle));
    if (over.has(handle)) release(handle);
    else {
      hunt.pids.push(handle.pid);
      alive.set(keyOf(handle), handle);
    }
  }
  return handles.filter((handle) => !over.has(handle));
}

function tryHold(hunt: Hunt, id: ProcessId): Handle | null {
  try {
    return hold(id);
  } catch (error) {
    if (hunt.alive.size === 0 || !(error instanceof ObserverError) || error.code !== "failed")
      throw error;
    hunt.unheld.push(id.pid);
    return null;
  }
}

const isOver = ({ alive, unheld }: Hunt): boolean => alive.size === 0 && unheld.length === 0;

function dropEnded({ alive, deps }: Hunt): void {
  for (const handle of endedOf([...alive.values()])) {
    deps.ended.remember(handle);
    alive.delete(keyOf(handle));
    release(handle);
  }
}

function send(hunt: Hunt, handle: Handle, name: BrakeSignal): void {
  // Before the signal: its death may be heard of at once.
  hunt.deps.ended.remember(handle);
  try {
    signal(handle, name);
  } catch (error) {
    // A child of another user must not save the rest. The agent itself is the one that was asked for.
    if (handle.pid === hunt.agent.pid || !(error instanceof ObserverError)) throw error;
    hunt.refused ||= error.code === "not_permitted";
  }
}

function terminate(hunt: Hunt): void {
  const { agent, deps, alive } = hunt;
  // Standing, it cannot start a process between the look and the signal, whose parent would be gone at the next look.
  // In a cgroup of its own nothing can be lost that way.
  const goOn = hunt.own.all.length === 0 ? deps.halt(agent, hunt.tree) : null;
  try {
    look(hunt);
    for (const handle of alive.values()) send(hunt, handle, "SIGTERM");
  } finally {
    goOn?.();
    // Only what runs can act on the signal, whether we have stopped it or somebody else.
    deps.letGo(agent);
  }
  for (const handle of alive.values()) send(hunt, handle, "SIGCONT");
}

async function awaitEnd(hunt: Hunt, graceMs: number): Promise<void> {
  const { clock } = hunt.deps;
  const endMs = clock.monotonic() + graceMs;
  for (let nextLookMs = 0; ;) {
    dropEnded(hunt);
    if (hunt.alive.size === 0 || clock.monotonic() >= nextLookMs) {
      for (const handle of look(hunt)) send(hunt, handle, "SIGTERM");
      nextLookMs = clock.monotonic() + LOOK_MS;
    }
    const leftMs = endMs - clock.monotonic();
    if (isOver(hunt) || leftMs <= 0) return;
    await Bun.sleep(Math.min(POLL_MS, leftMs));
  }
}

async function killRest(hunt: Hunt): Promise<void> {
  const { clock } = hunt.deps;
  const endMs = clock.monotonic() + KILL_PATIENCE_MS;
  for (;;) {
    dropEnded(hunt);
    look(hunt);
    if (isOver(hunt) || clock.monotonic() > endMs) return;
    strike(hunt);
    await Bun.sleep(AGAIN_MS);
  }
}

/** SIGKILL to all that is left, at once where the kernel can. */
function strike(hunt: Hunt): void {
  const { agent, deps, alive, killed, own } = hunt;
  for (const handle of alive.values()) {
    deps.ended.remember(handle);
    killed.add(handle.pid);
  }
  if (own.unified !== null) tryCgroupKill(own.unified);
  const goOn = deps.halt(agent, hunt.tree);
  try {
    look(hunt);
    for (const handle of alive.values()) {
      killed.add(handle.pid);
      send(hunt, handle, "SIGKILL");
    }
  } finally {
    // A stopped v1 cgroup dies only when it is let go on.
    goOn?.();
  }
}

/** The report; throws it as an error when something is left. */
function reportOf(hunt: Hunt, durationMs: number): KillReport {
  const { agent, alive, pids, killed, refused, unheld } = hunt;
  const report = {
    agentId: agent.id,
    pids: [agent.pid, ...pids.filter((pid) => pid !== agent.pid)],
    killed: [...killed],
    survivors: [...[...alive.values()].map(({ pid }) => pid), ...unheld],
    durationMs,
  };
  if (report.survivors.length === 0) return report;
  throw new ObserverError(
    refused ? "not_permitted" : "failed",
    `Agent ${agent.id} is not gone: processes ${report.survivors.join(", ")} are left`,
    { detail: { ...report } },
  );
}

/** One write ends all of a v2 cgroup, and nothing in it can fork meanwhile. Linux 5.14 and later. */
function tryCgroupKill(directory: string): void {
  try {
    writeKernelFile(join(directory, "cgroup.kill"), "1");
  } catch {
    // Not there, or not ours: each process is signalled then.
  }
}
