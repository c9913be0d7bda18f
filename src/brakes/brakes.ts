// Stops, lets go on and ends exactly one agent's tree, by hand or by policy; what stands goes on whatever happens to us.

import { resolve } from "node:path";
import type { Agent, Brakes, Capability, KillReport } from "../core/agent.ts";
import type { Clock } from "../core/clock.ts";
import { messageOf, ObserverError } from "../core/errors.ts";
import { bootId } from "../kernel/boot.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { createEnded, type Ended } from "./ended.ts";
import { type FreezeFile, readFreezeList, setAside, writeFreezeList } from "./freeze-list.ts";
import { createFreezer, type FreezerParts } from "./freezer.ts";
import { createGuardianLink, type GuardianLink } from "./guardian-link.ts";
import { signalProcess } from "./handle.ts";
import { createHolds, type Holds, stateIn } from "./holds.ts";
import { killTree } from "./kill.ts";
import { createLeases, type Leases } from "./leases.ts";
import { letGo } from "./let-go.ts";
import { createTurns } from "./turns.ts";

/** Name of the list in the data directory. */
export const FREEZE_LIST_FILE = "freezes.json";

/** A kill that is under way may have minutes of grace; what was asked for last need not be waited for. */
const STOP_PATIENCE_MS = 1_000;

export interface BrakesOptions {
  /** Where the list of all stops is kept; it exists and is ours alone. */
  dataDirectory: string;
  /** Name of observer's cgroups, made from the data directory. */
  name: string;
  /** Program, arguments and the guardian's verb. */
  guardianCommand: string[];
}

export interface BrakesDeps {
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

export interface RunningBrakes extends Brakes {
  /**
   * Lets go on what an observer before this one left standing, takes over its pauses, starts the guardian. Never
   * throws: without a guardian nothing is stopped, and it is tried again.
   */
  start(): Promise<void>;
  /** Ends every freeze; pauses stay, and the guardian with them. */
  stop(): Promise<void>;
  /** For `doctor`. */
  capability(): Capability;
}

interface Parts extends BrakesDeps {
  link: GuardianLink;
  holds: Holds;
  freezer: FreezerParts;
  leases: Leases;
  ended: Ended;
  /** The guardian of an observer before this one; it is needed until ours knows the leases. */
  predecessor: FreezeFile["guardian"];
}

export function createBrakes(options: BrakesOptions, deps: BrakesDeps): RunningBrakes {
  // The guardian works in another directory.
  const listPath = resolve(options.dataDirectory, FREEZE_LIST_FILE);
  const parts = createParts(options, deps, listPath);
  const { freezer, holds, leases, link, ended } = parts;
  const turns = createTurns();
  return {
    freeze: freezer.freeze,
    reflex: freezer.reflex,
    pause: (agent, forMs) => turns.take(agent.id, () => leases.pause(agent, forMs)),
    resume: (agent) => turns.take(agent.id, () => leases.resume(agent)),
    kill: (agent, graceMs) => turns.take(agent.id, () => kill(parts, agent, graceMs)),
    lease: leases.get,
    stateOf: (agent) => stateIn(holds, agent),
    endedByUs: ended.has,
    async start() {
      parts.predecessor = recover(listPath, parts);
      await link.start();
    },
    async stop() {
      freezer.endAll("stopped");
      leases.close();
      await Promise.race([turns.settled(), Bun.sleep(STOP_PATIENCE_MS)]);
      holds.close();
      link.stop();
    },
    capability: () => capabilityOf(link.running() !== null, link.trouble()),
  };
}

function createParts(options: BrakesOptions, deps: BrakesDeps, listPath: string): Parts {
  const { log } = deps;
  const link: GuardianLink = createGuardianLink(
    { command: options.guardianCommand, name: options.name, listPath },
    {
      ...deps,
      announcements: () => parts.holds.announcements(),
      onReady: () => relieve(parts),
      onLost: () => parts.freezer.endAll("guardian_lost"),
      onReport(report) {
        if (report.kind === "thawed") parts.freezer.endedByGuardian(report.slot);
        if (report.kind === "trouble") log.error("guardian in trouble", { reason: report.reason });
      },
    },
  );
  const boot = bootId();
  const holds = createHolds({
    ...deps,
    link,
    write(entries, durable) {
      const guardian = link.running() ?? parts.predecessor;
      writeFreezeList(listPath, { bootId: boot, guardian, entries }, durable);
    },
  });
  const parts: Parts = {
    ...deps,
    link,
    holds,
    freezer: createFreezer({ ...deps, holds, link }),
    leases: createLeases({ ...deps, holds, link }),
    ended: createEnded(deps.clock),
    predecessor: null,
  };
  return parts;
}

/** Ours knows all leases now, so that the one before it can go, and with it what it does not know. */
function relieve(parts: Parts): void {
  const { predecessor, log, holds } = parts;
  parts.predecessor = null;
  holds.saveSoon();
  if (predecessor === null) return;
  try {
    if (signalProcess(predecessor, "SIGKILL"))
      log.info("guardian relieved", { pid: predecessor.pid });
  } catch (error) {
    // Two guardians are harmless; the old one ends with its last lease.
    log.debug("guardian not relieved", { reason: messageOf(error) });
  }
}

async function kill(parts: Parts, agent: Agent, graceMs: number): Promise<KillReport> {
  const { clock, ended, freezer, holds, leases, link, log, metrics } = parts;
  try {
    const report = await killTree(agent, graceMs, {
      clock,
      ended,
      guardian: link.running,
      halt(doomed, tree) {
        const hold = freezer.halt(doomed, tree);
        return hold && (() => void freezer.end(hold, "killed"));
      },
      letGo({ id }) {
        for (const hold of holds.of(id)) if (hold.kind === "freeze") freezer.end(hold, "killed");
        leases.end(id, "killed");
      },
    });
    log.info("agent killed", {
      agent: agent.id,
      processes: report.pids.length,
      by_force: report.killed.length,
      duration_ms: Math.round(report.durationMs),
    });
    metrics.add("observer_kills_total", 1, { outcome: "done" });
    return report;
  } catch (error) {
    const outcome = error instanceof ObserverError ? error.code : "failed";
    metrics.add("observer_kills_total", 1, { outcome });
    throw error;
  }
}

/** Lets go on what the list says, and takes over its leases. The guardian that it names, if it belongs to this boot. */
function recover(path: string, { leases, log }: Parts): FreezeFile["guardian"] {
  const read = readFreezeList(path);
  if (read === null) return null;
  if ("unusable" in read) {
    const at = setAside(path);
    log.warn("freeze list cannot be used, set aside", { path, reason: read.unusable, at });
    return null;
  }
  // Another boot: none of these processes exists any more, whatever has their numbers now.
  if (read.bootId !== bootId()) return null;
  const paused = new Set(
    read.entries.filter(({ kind }) => kind === "lease").map(({ target }) => target.agent),
  );
  for (const { kind, target } of read.entries) {
    if (kind === "lease" || paused.has(target.agent)) continue;
    try {
      letGo(target);
      if (kind === "freeze") log.warn("agent left standing goes on", { agent: target.agent });
    } catch (error) {
      log.error("agent left standing does not go on", {
        agent: target.agent,
        reason: messageOf(error),
      });
    }
  }
  leases.takeOver(read.entries.filter(({ kind }) => kind === "lease"));
  return read.guardian;
}

function capabilityOf(running: boolean, trouble: string | null): Capability {
  return {
    name: "guardian",
    state: !running ? "missing" : trouble === null ? "ok" : "degraded",
    purpose: "lets stopped agents go on when observer dies",
    reason: trouble ?? "it answers",
  };
}
