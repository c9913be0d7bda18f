// The process source: finds agents on this host, follows them to their end, and says which session each runs.

import type { AgentRegistry, Capability, ProcessId } from "../../core/agent.ts";
import type { Clock } from "../../core/clock.ts";
import type { Offer } from "../../core/contracts.ts";
import type { ObserverEvent } from "../../core/event.ts";
import { createRedactor } from "../../core/redact.ts";
import type { ProcConnector } from "../../kernel/proc-connector.ts";
import type { Watcher } from "../../kernel/watcher.ts";
import type { AgentRows } from "../../store/agent-rows.ts";
import type { Log } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { createChildren } from "./children.ts";
import { createExits, type Exits } from "./exits.ts";
import { createFinder, type Finder } from "./finder.ts";
import { createFollow } from "./follow.ts";
import { createHandlers } from "./handlers.ts";
import type { Host } from "./host.ts";
import { createKeeper } from "./keeper.ts";
import { createKernelFeed, type KernelFeed } from "./kernel-feed.ts";
import { createLoops } from "./loops.ts";
import { createMemory } from "./memory.ts";
import { createOutbox } from "./outbox.ts";
import { createRecords, type Records } from "./registry.ts";
import { parseUserRules } from "./rules.ts";
import { createRuns, type Runs } from "./runs.ts";
import { createSessionLooks } from "./sessions.ts";

export interface ProcessSourceOptions {
  /** False: nothing is looked for; only what `observer run` names is followed. */
  enabled: boolean;
  /** `agents.rules`. */
  rules: readonly string[];
  /** Pause between two looks at all processes; ten times that where the kernel reports. */
  scanMs: number;
  /** Name of this host, as on its events. */
  hostName: string;
  /** How observer starts itself. */
  selfCommand: readonly string[];
  /** Name of observer's own cgroup: `observer-<hash>`. */
  cgroupParent: string;
}

export interface ProcessSourceDeps {
  offer: Offer;
  rows: AgentRows;
  /** Null where there is no waiting thread: everything is found by looking. */
  watcher: Watcher | null;
  /** Process events of the kernel. */
  openProcConnector: () => Promise<ProcConnector>;
  /** True when observer itself ended the process a moment ago. */
  endedByUs(process: ProcessId): boolean;
  host: Host;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

export interface ProcessSource extends Runs {
  registry: AgentRegistry;
  /** Resolves when those that live now are known. What cannot be had does not stop it: see `capabilities`. */
  start(): Promise<void>;
  /** To be called before events are no longer taken: ends that were seen are told now. */
  stop(): Promise<void>;
  /** An event that was taken in: it may say which session an agent runs. */
  noteEvent(event: ObserverEvent): void;
  /** Whether the session of this agent is known without trusting a sender. */
  isSessionProven(agentId: string): boolean;
  capabilities(): Capability[];
}

/** Sessions, directories, orphans: a few agents, some file reads each. No rarer than scans without reports. */
const TICK_MS_MAX = 2_000;

/** Throws `ObserverError` `invalid` for rules that cannot be read. */
export function createProcessSource(
  options: ProcessSourceOptions,
  deps: ProcessSourceDeps,
): ProcessSource {
  const { host, clock, watcher } = deps;
  const redact = createRedactor();
  const now = (): number => clock.now();
  const userRules = parseUserRules(options.rules);
  const parentOf = (pid: number): number | null => host.readStat(pid)?.ppid ?? null;
  const records = createRecords({ now, ownPid: host.pid, parentOf });
  const outbox = createOutbox(deps);
  const memory = createMemory({ ...deps, boot: host.boot });
  const keeper = createKeeper({ ...deps, records, outbox, memory, exits: () => exits });
  const exits = createExits({ host, clock, watcher, onExit: keeper.end });
  const looks = createSessionLooks({ host, now });
  const parts = { ...deps, ...options, redact, records, keeper, exits, looks, outbox };
  const handlers = createHandlers({
    ...parts,
    children: createChildren(deps),
    finder: () => finder,
  });
  const finder = createFinder({ ...parts, userRules, now, ...handlers });
  const follow = createFollow(parts);
  const feed = createKernelFeed(deps, {
    onFork: finder.heardFork,
    onExec: finder.heardExec,
    onExit: handlers.onExit,
    onLost: () => scans.now("full"),
  });
  const scans = createScans(options, { ...deps, finder, exits, records, feed });
  const loops = createLoops(deps);
  return {
    ...createRuns({ ...parts, finder }),
    registry: records,
    async start() {
      for (const row of memory.all()) handlers.resume(row);
      // Open before the first look, so that nothing is missed in between.
      if (options.enabled) await feed.open();
      scans.now("full");
      loops.every("processes", options.scanMs, scans.next);
      loops.every("agents", Math.min(TICK_MS_MAX, options.scanMs), async () => {
        if (options.enabled) finder.tick({ young: !feed.isOpen() });
        await follow.round();
      });
    },
    async stop() {
      await loops.stop();
      feed.close();
      exits.stop();
      outbox.stop();
    },
    noteEvent: follow.noteEvent,
    isSessionProven: follow.isProven,
    capabilities: () => [feed.capability()],
  };
}

/** Scans are so many times rarer where the kernel reports each new program. */
const REPORTED_FACTOR = 10;
/** Every so manieth look reads everything again: it finds what the others cannot see. */
const FULL_EVERY = 10;

interface ScanDeps extends Pick<ProcessSourceDeps, "clock" | "metrics"> {
  finder: Finder;
  exits: Exits;
  records: Records;
  feed: KernelFeed;
}

function createScans({ enabled }: Pick<ProcessSourceOptions, "enabled">, deps: ScanDeps) {
  const { finder, exits, records, feed, clock, metrics } = deps;
  let turns = 0;
  const now = (how: "incremental" | "full"): void => {
    const startedMs = clock.monotonic();
    if (enabled) finder.scan(how);
    exits.lookAtAll();
    records.sweep();
    metrics.add("observer_process_scans_total", 1, { how });
    metrics.set("observer_process_scan_ms", Math.round((clock.monotonic() - startedMs) * 10) / 10);
  };
  return {
    now,
    next() {
      turns += 1;
      const factor = feed.isOpen() ? REPORTED_FACTOR : 1;
      if (turns % factor === 0) now(turns % (factor * FULL_EVERY) === 0 ? "full" : "incremental");
    },
  };
}
