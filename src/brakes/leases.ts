// Pauses: an agent stands until it is resumed or its lease is over, whatever becomes of observer meanwhile.

import type { Agent, PauseLease } from "../core/agent.ts";
import type { Clock } from "../core/clock.ts";
import { messageOf, ObserverError } from "../core/errors.ts";
import { isoTime } from "../core/text.ts";
import { isFrozen } from "../kernel/cgroup-control.ts";
import { writeKernelFile } from "../kernel/kernel-file.ts";
import { childrenOf } from "../kernel/procfs.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { frozenText } from "./freeze-file.ts";
import type { FreezeEntry } from "./freeze-list.ts";
import type { GuardianLink } from "./guardian-link.ts";
import { type Hold, holdOf, type Holds } from "./holds.ts";
import { letGo, letGoSurely } from "./let-go.ts";
import { chooseTarget } from "./method.ts";
import { isAlive, whyNotBrake } from "./refusal.ts";
import type { Target } from "./target.ts";
import { moving, startTree, stopTree } from "./tree.ts";

/** How often leases are looked at: their end, the agent's death, and whether it still stands. */
const LOOK_MS = 1_000;
/** Every so many looks, all processes of the machine are looked through for what belongs to a tree that was stopped by signals. */
const THOROUGH_EVERY = 10;
/** A process in an uninterruptible wait stands when that is over. */
const STAND_PATIENCE_MS = 2_000;
const STAND_LOOK_MS = 5;
const GO_ON_PATIENCE_MS = 2_000;
/** Whoever asks for more has mistaken the unit. */
export const LEASE_MS_MAX = 31 * 86_400_000;

export interface LeasesDeps {
  clock: Clock;
  log: Log;
  metrics: Metrics;
  holds: Holds;
  link: Pick<GuardianLink, "running">;
}

export interface Leases {
  pause(agent: Agent, forMs: number): Promise<PauseLease>;
  resume(agent: Agent): Promise<void>;
  get(agentId: string): PauseLease | null;
  /** Ends the lease, for whatever reason; does not wait for the proof. */
  end(agentId: string, event: LeaseEnd): void;
  /** Leases of an observer before this one: those that still run are kept, the others end now. */
  takeOver(entries: FreezeEntry[]): void;
  /** Stops looking; the leases stay, the guardian ends them. */
  close(): void;
}

type LeaseEnd = "resumed" | "expired" | "gone" | "killed";

interface State extends LeasesDeps {
  looking: Timer | undefined;
  /** How many looks there were. */
  looks: number;
}

export function createLeases(deps: LeasesDeps): Leases {
  const state: State = { ...deps, looking: undefined, looks: 0 };
  const { clock, holds, link } = deps;
  return {
    async pause(agent, forMs) {
      if (!Number.isFinite(forMs) || forMs < 1 || forMs > LEASE_MS_MAX)
        throw new ObserverError(
          "invalid",
          `A pause lasts 1 ms to ${LEASE_MS_MAX} ms, not ${forMs}`,
        );
      if (!isAlive(agent)) throw new ObserverError("vanished", `Agent ${agent.id} is gone`);
      if (link.running() === null) throw new ObserverError("failed", NO_GUARDIAN);
      const hold = holdFor(holds, agent.id);
      return hold
        ? renew(state, hold, clock.now() + Math.round(forMs))
        : await begin(state, agent, Math.round(forMs));
    },
    resume: async (agent) => await resume(state, agent),
    get(agentId) {
      const hold = holdFor(holds, agentId);
      return hold ? leaseOf(hold) : null;
    },
    end(agentId, event) {
      const hold = holdFor(holds, agentId);
      if (hold) endHold(state, hold, event);
    },
    takeOver: (entries) => takeOver(state, entries),
    close() {
      clearInterval(state.looking);
      state.looking = undefined;
    },
  };
}

const holdFor = (holds: Holds, agentId: string): Hold | undefined =>
  holds.of(agentId).find(({ kind }) => kind === "lease");

function count({ metrics }: State, event: string): void {
  metrics.add("observer_pauses_total", 1, { event });
}

function renew(state: State, hold: Hold, untilMs: number): PauseLease {
  const before = hold.untilMs;
  hold.untilMs = untilMs;
  try {
    // The file first: the guardian of an observer that dies now looks there.
    state.holds.save(true);
  } catch (error) {
    hold.untilMs = before;
    throw error;
  }
  state.holds.announce(hold);
  count(state, "renewed");
  return leaseOf(hold);
}

async function begin(state: State, agent: Agent, forMs: number): Promise<PauseLease> {
  const { clock, holds, link, log } = state;
  const target = chooseTarget(agent);
  const why = whyNotBrake(target, link.running());
  if (why !== null)
    throw new ObserverError("unsupported", `Cannot pause agent ${agent.id}: ${why}`);
  // Whoever a freeze has stopped stays stopped by the lease, so the lease has to continue them.
  const processes = holds.of(agent.id).flatMap((hold) => hold.target.processes);
  const draft = holdOf({ ...target, processes }, "lease", { clock });
  const hold = holds.put({ ...draft, untilMs: draft.sinceMs + forMs });
  try {
    // In this order: the file, the guardian, the agent. Whatever dies in between, what stands is in both.
    holds.save(true);
    if (!holds.announce(hold)) throw new ObserverError("failed", NO_GUARDIAN);
    await stop(hold, state);
    holds.save(true);
  } catch (error) {
    holds.end(hold);
    count(state, "failed");
    throw error;
  }
  count(state, "paused");
  log.info("agent paused", {
    agent: agent.id,
    method: target.method,
    until: isoTime(draft.sinceMs + forMs),
  });
  startLooking(state);
  return leaseOf(hold);
}

async function resume(state: State, agent: Agent): Promise<void> {
  const { clock, holds } = state;
  const hold = holdFor(holds, agent.id);
  // Nothing to end: whoever asks wants it to run, and it does.
  if (!hold) return;
  endHold(state, hold, "resumed");
  const isFreezeLeft = (): boolean => holds.of(agent.id).some(({ kind }) => kind === "freeze");
  if (isFreezeLeft()) return;
  const why = await letGoSurely(hold.target, {
    patienceMs: GO_ON_PATIENCE_MS,
    monotonic: clock.monotonic,
    isOver: isFreezeLeft,
  });
  if (why !== null) throw new ObserverError("failed", `Agent ${agent.id} does not go on: ${why}`);
}

function endHold(state: State, hold: Hold, event: LeaseEnd): void {
  if (hold.stoodMs !== null) return;
  const stoodMs = state.holds.end(hold);
  count(state, event);
  state.log.info("pause ended", {
    agent: hold.target.agent,
    event,
    stood_ms: Math.round(stoodMs),
  });
}

function startLooking(state: State): void {
  state.looking ??= setInterval(() => look(state), LOOK_MS);
}

function look(state: State): void {
  const leases = state.holds.list().filter(({ kind }) => kind === "lease");
  if (leases.length === 0) {
    clearInterval(state.looking);
    state.looking = undefined;
  }
  const thorough = ++state.looks % THOROUGH_EVERY === 0;
  for (const hold of leases) {
    try {
      if (!isAlive(hold.target.root)) endHold(state, hold, "gone");
      else if (state.clock.now() >= (hold.untilMs ?? 0)) endHold(state, hold, "expired");
      else if (thorough || hasMoved(hold.target)) restop(hold, state);
    } catch (error) {
      const reason = messageOf(error);
      state.log.warn("pause not kept up", { agent: hold.target.agent, reason });
    }
  }
}

function takeOver(state: State, entries: FreezeEntry[]): void {
  const { clock, holds, log } = state;
  for (const { target, sinceMs, untilMs } of entries) {
    const over = overBefore(target, clock.now() >= untilMs);
    if (over === null) {
      holds.put({ ...holdOf(target, "lease", { clock, untilMs }), sinceMs });
      log.info("pause taken over", { agent: target.agent });
      count(state, "taken_over");
      startLooking(state);
      continue;
    }
    try {
      letGo(target);
    } catch (error) {
      log.warn("agent may still stand", { agent: target.agent, reason: messageOf(error) });
    }
    count(state, over);
    log.info("pause ended while observer was away", { agent: target.agent, event: over });
  }
}

/** What became of a lease since an observer before this one wrote it down; null when it still holds. */
function overBefore(target: Target, isExpired: boolean): LeaseEnd | null {
  if (!isAlive(target.root)) return "gone";
  if (isExpired) return "expired";
  // Somebody let it go on meanwhile. To stop it again now would surprise more than it would help.
  return doesStand(target) ? null : "resumed";
}

const NO_GUARDIAN = "No guardian runs that would end the pause; see the log for the reason";

function leaseOf({ target, sinceMs, untilMs }: Hold): PauseLease {
  const { agent: agentId, root, method } = target;
  return { agentId, pid: root.pid, method, sinceMs, untilMs: untilMs ?? sinceMs };
}

/** Stops it, and reads back that it stands. Throws `ObserverError`. */
async function stop(hold: Hold, deps: LeasesDeps): Promise<void> {
  const { target } = hold;
  if (target.path !== null && target.method !== "SIGSTOP")
    writeKernelFile(target.path, frozenText(target.method));
  else stopBySignals(hold, deps);
  const endMs = deps.clock.monotonic() + STAND_PATIENCE_MS;
  while (!doesStandAll(hold.target)) {
    if (deps.clock.monotonic() > endMs)
      throw new ObserverError(
        "failed",
        `Agent ${target.agent} does not stand after ${STAND_PATIENCE_MS} ms: a process in it may wait for a disk`,
      );
    await Bun.sleep(STAND_LOOK_MS);
  }
}

/** The agent itself stands, or is being stopped. */
function doesStand({ path, method, root, processes }: Target): boolean {
  if (path === null || method === "SIGSTOP")
    return isAlive(root) && !moving(processes).some(({ pid }) => pid === root.pid);
  return isFrozen({ path, method }) === true;
}

function doesStandAll(target: Target): boolean {
  return target.path === null ? moving(target.processes).length === 0 : doesStand(target);
}

function stopBySignals(hold: Hold, { clock, holds }: LeasesDeps): string[] {
  const before = hold.target.processes;
  const woken = moving(before).length;
  const { processes, complete } = stopTree(startTree(hold.target.root), {
    before: (fresh) => holds.add(hold, fresh),
    monotonic: clock.monotonic,
    stopped: before,
  });
  if (!complete)
    throw new ObserverError(
      "failed",
      `The tree of agent ${hold.target.agent} grows faster than it can be stopped`,
    );
  const fresh = processes.length - before.length;
  return woken + fresh === 0 ? [] : [`${woken} continued by somebody else`, `${fresh} new`];
}

/** What a few reads tell: one of them runs again, or has a child that we do not know. */
function hasMoved({ path, processes }: Target): boolean {
  if (path !== null) return true;
  const living = processes.filter(isAlive);
  if (moving(living).length > 0) return true;
  const known = new Set(living.map(({ pid }) => pid));
  return living.some(({ pid }) => childrenOf(pid)?.some((child) => !known.has(child)) ?? true);
}

/** A pause ends by resume or at its time, so whoever was woken by somebody else is stopped again, and it is told. */
function restop(hold: Hold, deps: LeasesDeps): void {
  const { path, method, agent } = hold.target;
  if (path !== null && method !== "SIGSTOP") {
    if (isFrozen({ path, method }) !== false) return;
    writeKernelFile(path, frozenText(method));
    deps.log.warn("paused agent was let go on by somebody else, stopped again", { agent });
    deps.metrics.add("observer_pauses_total", 1, { event: "restopped" });
    return;
  }
  const found = stopBySignals(hold, deps);
  if (found.length === 0) return;
  deps.log.warn("paused agent moved, stopped again", { agent, found: found.join(", ") });
  deps.metrics.add("observer_pauses_total", 1, { event: "restopped" });
  deps.holds.saveSoon();
}
