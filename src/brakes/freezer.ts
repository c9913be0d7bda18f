// Stops an agent for the moment of a checkpoint: by order, or by a reflex that the waiting thread performs by itself.

import { closeSync, constants, openSync } from "node:fs";
import type { Agent, Freeze, FreezeReflex, Freezer } from "../core/agent.ts";
import type { Clock } from "../core/clock.ts";
import { messageOf, ObserverError } from "../core/errors.ts";
import { newId } from "../core/ids.ts";
import { isFrozen } from "../kernel/cgroup-control.ts";
import { writeKernelFile } from "../kernel/kernel-file.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { frozenText } from "./freeze-file.ts";
import type { GuardianLink } from "./guardian-link.ts";
import { beginLine } from "./guardian-protocol.ts";
import { type Hold, holdOf, type Holds, stateIn } from "./holds.ts";
import { letGo } from "./let-go.ts";
import { chooseTarget } from "./method.ts";
import { hasJobControlShell, isAlive, whyNotBrake } from "./refusal.ts";
import type { Target } from "./target.ts";
import { startTree, stopTree, type TreeMemory } from "./tree.ts";
import { CAP_MS_MAX } from "./ward.ts";

/** The kernel stops a cgroup within a millisecond, unless a process in it waits for a disk: then as soon as it can. */
const FROZEN_WAIT_MS = 10;
const FROZEN_LOOK_MS = 0.2;

export interface FreezerDeps {
  clock: Clock;
  log: Log;
  metrics: Metrics;
  holds: Holds;
  link: Pick<GuardianLink, "fd" | "keep" | "unkeep" | "running">;
}

export interface FreezerParts extends Freezer {
  /** Ends every freeze; those that are armed may have begun, so they are let go on too, and stay armed. */
  endAll(outcome: FreezeOutcome): void;
  /** The guardian ended this one by itself. */
  endedByGuardian(slot: number): void;
  end(hold: Hold, outcome: FreezeOutcome): number;
  /** Stops an agent that is about to be killed, so that it starts nothing more meanwhile. */
  halt(agent: Agent, tree: TreeMemory): Hold | null;
}

/** How a freeze came to its end. */
type FreezeOutcome = "thawed" | "capped" | "guardian_lost" | "stopped" | "killed";

interface State extends FreezerDeps {
  /** What ends each freeze at its cap, by slot. */
  timers: Map<number, Timer>;
}

export function createFreezer(deps: FreezerDeps): FreezerParts {
  const state: State = { ...deps, timers: new Map() };
  const { holds, log } = deps;
  return {
    freeze(agent, capMs) {
      const target = targetFor(state, agent);
      const hold = target && freezeNow(state, { target, capMs });
      if (!hold) return null;
      log.info("agent stopped for a checkpoint", { agent: agent.id, method: hold.target.method });
      return freezeOf(state, agent, hold);
    },
    reflex(agent, capMs) {
      const target = targetFor(state, agent);
      return target && armReflex(state, { agent, target, capMs });
    },
    halt(agent, doomed) {
      if (deps.link.running() === null) return null;
      return freezeNow(state, { target: chooseTarget(agent), capMs: CAP_MS_MAX, doomed });
    },
    endAll(outcome) {
      for (const hold of holds.list()) {
        if (hold.kind === "freeze") end(state, hold, outcome);
        // The thread may have performed it a moment ago, and nobody has told us yet.
        else if (hold.kind === "armed" && stateIn(holds, { id: hold.target.agent }) === "running")
          tryLetGo(state, hold.target);
      }
    },
    endedByGuardian(slot) {
      const hold = holds.list().find((one) => one.slot === slot && one.kind === "freeze");
      if (hold) end(state, hold, "capped");
    },
    end: (hold, outcome) => end(state, hold, outcome),
  };
}

function count(
  { metrics }: State,
  { method }: Target,
  outcome: FreezeOutcome | "refused" | "failed",
): void {
  metrics.add("observer_freezes_total", 1, { method, outcome });
}

function end(state: State, hold: Hold, outcome: FreezeOutcome): number {
  clearTimeout(state.timers.get(hold.slot));
  state.timers.delete(hold.slot);
  if (hold.stoodMs !== null) return hold.stoodMs;
  const stoodMs = state.holds.end(hold);
  count(state, hold.target, outcome);
  // A stop for the moment of a kill is told with the kill.
  const tell = outcome === "killed" ? state.log.debug : state.log.info;
  tell("agent goes on", { agent: hold.target.agent, outcome, stood_ms: Math.round(stoodMs) });
  return stoodMs;
}

function capAt(state: State, hold: Hold): void {
  const leftMs = (hold.capMs ?? 0) - (state.clock.monotonic() - hold.sinceMonotonicMs);
  const timer = setTimeout(() => end(state, hold, "capped"), Math.max(0, leftMs));
  state.timers.set(hold.slot, timer);
}

function freezeOf(state: State, agent: Agent, hold: Hold): Freeze {
  return {
    id: newId(),
    agent,
    method: hold.target.method,
    sinceMs: hold.sinceMs,
    thaw: () => end(state, hold, "thawed"),
  };
}

/** Null where something speaks against it. */
function targetFor(state: State, agent: Agent): Target | null {
  const target = chooseTarget(agent);
  const why = refusal(agent, target, state);
  if (why === null) return target;
  count(state, target, "refused");
  state.log.debug("agent not stopped", { agent: agent.id, reason: why });
  return null;
}

interface FreezeOrder {
  target: Target;
  capMs: number;
  /** All that is known of the tree of an agent that is being killed: as much of it as can be stopped is enough. */
  doomed?: TreeMemory;
}

function freezeNow(state: State, { target, capMs, doomed }: FreezeOrder): Hold | null {
  const { clock, holds, log } = state;
  const hold = holds.put(holdOf(target, "freeze", { clock, capMs: Math.min(capMs, CAP_MS_MAX) }));
  // The order is the guarantee: the guardian's pipe holds the announcement and the beginning before the agent is
  // stopped, so whatever kills observer from here on, the guardian reads them before it reads the end of the pipe.
  // The list on disk, which only matters when both die, is written right after.
  if (!holds.announce(hold) || !holds.begin(hold)) {
    holds.withdraw(hold);
    count(state, target, "failed");
    return null;
  }
  try {
    stop(state, hold, doomed);
  } catch (error) {
    holds.end(hold);
    count(state, target, "failed");
    log.warn("agent could not be stopped", { agent: target.agent, reason: messageOf(error) });
    return null;
  }
  capAt(state, hold);
  holds.saveSoon();
  return hold;
}

/** Throws `ObserverError`. */
function stop({ clock, holds }: State, hold: Hold, doomed?: TreeMemory): void {
  const { root, path, method } = hold.target;
  if (path !== null && method !== "SIGSTOP") {
    writeKernelFile(path, frozenText(method));
    const endMs = clock.monotonic() + FROZEN_WAIT_MS;
    while (isFrozen({ path, method }) === false && clock.monotonic() < endMs)
      Bun.sleepSync(FROZEN_LOOK_MS);
    return;
  }
  const { complete } = stopTree(doomed ?? startTree(root), {
    before: (processes) => holds.add(hold, processes),
    monotonic: clock.monotonic,
    lenient: doomed !== undefined,
  });
  if (complete || doomed !== undefined) return;
  throw new ObserverError("failed", "its tree grew faster than it could be stopped");
}

/** Why it must not or need not be stopped; null when it may. */
function refusal(agent: Agent, target: Target, { holds, link }: FreezerDeps): string | null {
  const guardian = link.running();
  if (guardian === null) return "no guardian runs that would let it go on";
  if (!isAlive(agent)) return "it is gone";
  const state = stateIn(holds, agent);
  if (state !== "running") return `it is ${state} already`;
  if (target.method === "SIGSTOP" && agent.runId === null && hasJobControlShell(agent))
    return "the shell that it was started from would put it into the background";
  return whyNotBrake(target, guardian);
}

function armReflex(
  state: State,
  { agent, target, capMs }: { agent: Agent; target: Target; capMs: number },
): FreezeReflex | null {
  const { clock, holds, link, log } = state;
  if (target.path === null || target.method === "SIGSTOP") return null;
  let fd: number;
  try {
    fd = openSync(target.path, constants.O_WRONLY);
  } catch (error) {
    log.debug("reflex not armed", { agent: agent.id, reason: messageOf(error) });
    return null;
  }
  const hold = holds.put(holdOf(target, "armed", { clock, capMs: Math.min(capMs, CAP_MS_MAX) }));
  // Announced long before it can happen, so that the thread has two short writes to do: it begins, and the freeze. The
  // thread stops at a write that fails, so without a guardian there is no freeze. The list is written soon after.
  if (!holds.announce(hold)) {
    holds.withdraw(hold);
    closeSync(fd);
    return null;
  }
  link.keep();
  holds.saveSoon();
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    closeSync(fd);
    link.unkeep();
  };
  return {
    steps: [
      { fd: link.fd(), bytes: Buffer.from(beginLine(hold.slot)) },
      { fd, bytes: Buffer.from(frozenText(target.method)) },
    ],
    taken(atMs) {
      close();
      if (hold.kind === "armed" && hold.stoodMs === null) {
        hold.kind = "freeze";
        hold.sinceMs = atMs;
        hold.sinceMonotonicMs = clock.monotonic() - Math.max(0, clock.now() - atMs);
        capAt(state, hold);
        holds.saveSoon();
      }
      return freezeOf(state, agent, hold);
    },
    dispose() {
      close();
      if (hold.kind === "armed") holds.withdraw(hold);
    },
  };
}

function tryLetGo({ log }: State, target: Target): void {
  try {
    letGo(target);
  } catch (error) {
    log.error("agent may stand", { agent: target.agent, reason: messageOf(error) });
  }
}
