// The memory of agents: how near they are to their limits, and who was killed for want of it.

import type { AgentRegistry, Freezer } from "../../core/agent.ts";
import type { Clock } from "../../core/clock.ts";
import type { Offer } from "../../core/contracts.ts";
import type { Interruption } from "../../core/interruption.ts";
import { bootId } from "../../kernel/boot.ts";
import { type CgroupMounts, findCgroupMounts } from "../../kernel/cgroup.ts";
import type { Watcher } from "../../kernel/watcher.ts";
import type { Facts } from "../../store/meta.ts";
import type { Log } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { createFreezeHolds, type ReleaseFreeze } from "./freeze-holds.ts";
import { type OomWatch, startOomWatch } from "./oom-watch.ts";
import type { PressureDeps } from "./pressure-judge.ts";
import { type PressureWatch, startPressureWatch } from "./pressure-watch.ts";
import { createResident } from "./resident.ts";

/** As much of the boot id as natural keys hold. */
const BOOT_CHARS = 8;

export interface MemoryOptions {
  /** Shares of the limit in per cent: `memory.watch_percent` and `memory.checkpoint_percent`. */
  watchPercent: number;
  checkpointPercent: number;
  /** `memory.freeze` and `memory.freeze_cap_ms`. */
  freeze: boolean;
  freezeCapMs: number;
  /** Name of observer's own cgroups. */
  cgroupParent: string;
}

export interface MemoryDeps {
  registry: AgentRegistry;
  watcher: Watcher | null;
  freezer: Freezer | null;
  offer: Offer;
  facts: Facts;
  canSave: PressureDeps["canSave"];
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** Absent: those of this host. */
  mounts?: CgroupMounts;
}

export interface AgentMemory {
  /** Null when it cannot be read. */
  rssBytes: number | null;
  /** Working set of the cgroup that the limit is of; null when only the host limits it. */
  usageBytes: number | null;
  /** The limit that it reaches first; null when only the host limits it. */
  limitBytes: number | null;
  /** Null when its memory does not fill. */
  timeToLimitMs: number | null;
}

export interface MemorySource {
  /** After the agents that live already are in the registry. Never throws: what cannot be watched is logged. */
  start(): void;
  /** Lets every agent go on that was stopped here. */
  stop(): void;
  /** Null when no such agent lives. */
  memoryOf(agentId: string): AgentMemory | null;
  /** For the checkpoint reaction, at its very beginning. */
  holdFreeze(interruption: Interruption): ReleaseFreeze | null;
  /** A process of an agent ended by SIGKILL. `atMs` since the epoch. */
  noteKilled(death: { pid: number; atMs: number }): void;
  /** Why the kernel's log cannot be read; null when it can, or before the start. */
  kmsgReason(): string | null;
}

export function createMemorySource(options: MemoryOptions, deps: MemoryDeps): MemorySource {
  const { registry, clock } = deps;
  const mounts = deps.mounts ?? findCgroupMounts();
  const holds = createFreezeHolds({ ...deps, capMs: options.freezeCapMs });
  const resident = createResident(() => clock.monotonic());
  let oom: OomWatch | null = null;
  let pressure: PressureWatch | null = null;
  return {
    start() {
      if (pressure !== null) return;
      pressure = startPressureWatch({ ...options, ...deps, holds });
      oom = startOomWatch({
        ...deps,
        mounts,
        boot: bootId().slice(0, BOOT_CHARS),
        cgroupParent: options.cgroupParent,
        onSignal: (directory) => pressure?.signalled(directory),
      });
    },
    stop() {
      oom?.stop();
      pressure?.stop();
      holds.stop();
    },
    memoryOf(agentId) {
      const agent = registry.get(agentId);
      if (!agent) return null;
      const seen = pressure?.useOf(agentId);
      return {
        rssBytes: resident(agent),
        usageBytes: seen?.limit ? (seen.use?.usedBytes ?? null) : null,
        limitBytes: seen?.limit?.limitBytes ?? null,
        timeToLimitMs: seen?.use?.timeToLimitMs ?? null,
      };
    },
    holdFreeze: (interruption) => holds.hold(interruption),
    noteKilled: (death) => oom?.noteKilled(death),
    kmsgReason: () => oom?.kmsgReason ?? null,
  };
}
