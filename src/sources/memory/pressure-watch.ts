// Looks at the memory of each agent's limit, as seldom as may be, and says when an agent comes near it.

import type { Agent, Freeze } from "../../core/agent.ts";
import { messageOf } from "../../core/errors.ts";
import { tightestLimit } from "../../kernel/cgroup-memory.ts";
import { HALF } from "./levels.ts";
import { createMemoryTarget, type LimitedCgroup, type Use } from "./memory-target.ts";
import {
  createPressureJudge,
  type JudgedTarget,
  type PressureDeps,
  type PressureJudge,
} from "./pressure-judge.ts";
import { nextPauseMs, PAUSE_MAX_MS, PAUSE_MIN_MS } from "./sampling.ts";
import { watchThresholds } from "./thresholds.ts";

/** A limit may be changed by hand, and agents may move. */
const REFRESH_MS = 5_000;
/** A change among many agents is looked at so many times its cost later: at most 5 % of the time, however they come. */
const REFRESH_SPARING = 20;
/** A look that took longer was interrupted, which says nothing of its cost. */
const COST_MAX_MS = 2;
const COST_WEIGHT = 0.1;

interface Sampled extends JudgedTarget {
  lookedMs: number;
  nextMs: number;
  costMs: number;
}

export interface PressureWatch {
  /** The kernel reports something about the memory of this cgroup: looks at it now. */
  signalled(directory: string): void;
  /** What was seen last of the agent's limit; null when the agent is not followed. */
  useOf(agentId: string): { use: Use | null; limit: LimitedCgroup | null } | null;
  stop(): void;
}

export function startPressureWatch(deps: PressureDeps): PressureWatch {
  const { registry, clock, metrics } = deps;
  const targets = new Map<string, Sampled>();
  const judge = createPressureJudge(deps);
  let refreshedMs = clock.monotonic();

  const look = (target: Sampled, exact: boolean): void => {
    const atMs = clock.monotonic();
    target.lookedMs = atMs;
    metrics.add("observer_memory_samples_total");
    const use = target.memory.look(atMs, exact);
    const spentMs = Math.min(COST_MAX_MS, clock.monotonic() - atMs);
    target.costMs += COST_WEIGHT * (spentMs - target.costMs);
    if (use === null) return drop(target);
    judge.seen(target, use, null);
    const roundCostMs = targets.values().reduce((sum, { costMs }) => sum + costMs, 0);
    const notified = target.thresholds !== null;
    target.nextMs = atMs + nextPauseMs({ ...use, notified, roundCostMs }, judge.rulesOf(target));
  };
  const drop = (target: Sampled): void => {
    targets.delete(target.key);
    target.thresholds?.stop();
  };

  const refresh = (): void => {
    refreshedMs = clock.monotonic();
    const found = groupByLimit(registry.list());
    for (const target of targets.values()) if (!found.has(target.key)) drop(target);
    for (const [key, { limit, agents }] of found) {
      const known = targets.get(key);
      if (known) known.agents = agents;
      else {
        const target = newTarget(key, { limit, agents });
        targets.set(key, target);
        listen(target, { deps, judge, look: () => look(target, true) });
      }
    }
  };
  const rounds = createRounds(deps, () => {
    const nowMs = clock.monotonic();
    if (nowMs - refreshedMs >= REFRESH_MS) refresh();
    for (const target of targets.values()) if (target.nextMs <= nowMs) look(target, false);
    return Math.min(...targets.values().map(({ nextMs }) => nextMs));
  });

  refresh();
  rounds.start();
  const changes = createSparing({ clock, maxMs: REFRESH_MS }, () => {
    refresh();
    rounds.start();
  });
  const unsubscribe = registry.onChange(changes.soon);
  return {
    signalled(directory) {
      for (const target of targets.values()) {
        const isAbout = target.memory.limit?.directory === directory;
        // Throttled by the kernel, a cgroup signals a hundred times a second.
        const isDue = clock.monotonic() - target.lookedMs >= PAUSE_MIN_MS;
        if (isAbout && isDue) look(target, true);
      }
    },
    useOf(agentId) {
      const all = targets.values();
      const target = all.find(({ agents }) => agents.some(({ id }) => id === agentId));
      return target ? { use: target.memory.use(), limit: target.memory.limit } : null;
    },
    stop() {
      unsubscribe();
      changes.stop();
      rounds.stop();
      for (const target of targets.values()) drop(target);
    },
  };
}

/** `round` says when the next one is due, `clock.monotonic`; without anything to look at, never. */
function createRounds(
  { clock, log }: Pick<PressureDeps, "clock" | "log">,
  round: () => number,
): { start(): void; stop(): void } {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const stop = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
  };
  const start = (): void => {
    stop();
    let dueMs = clock.monotonic() + PAUSE_MAX_MS;
    try {
      dueMs = round();
    } catch (thrown) {
      log.error("a look at the memory of agents failed", { error: messageOf(thrown) });
    }
    if (dueMs === Infinity) return;
    timer = setTimeout(start, Math.min(PAUSE_MAX_MS, Math.max(1, dueMs - clock.monotonic())));
    timer.unref();
  };
  return { start, stop };
}

/** Does the work at once, or so much later that it takes its small share of the time however often it is asked for. */
function createSparing(
  { clock, maxMs }: Pick<PressureDeps, "clock"> & { maxMs: number },
  work: () => void,
): { soon(): void; stop(): void } {
  let timer: ReturnType<typeof setTimeout> | null = null;
  let notBeforeMs = -Infinity;
  const begin = (): void => {
    timer = null;
    const startedMs = clock.monotonic();
    work();
    const endedMs = clock.monotonic();
    notBeforeMs = endedMs + Math.min(maxMs, REFRESH_SPARING * (endedMs - startedMs));
  };
  return {
    soon() {
      if (timer !== null) return;
      const waitMs = notBeforeMs - clock.monotonic();
      if (waitMs <= 0) return begin();
      timer = setTimeout(begin, waitMs);
      timer.unref();
    },
    stop: () => void (timer !== null && clearTimeout(timer)),
  };
}

interface Group {
  limit: LimitedCgroup | null;
  agents: Agent[];
}

/** Which agents share which limit, now. */
function groupByLimit(agents: Agent[]): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const agent of agents) {
    const limit = limitOf(agent);
    const key = limit ? `${limit.directory}\u0000${limit.limitBytes}` : "";
    const group = groups.get(key) ?? { limit, agents: [] };
    group.agents.push(agent);
    groups.set(key, group);
  }
  return groups;
}

function newTarget(key: string, { limit, agents }: Group): Sampled {
  return {
    key,
    agents,
    memory: createMemoryTarget(limit),
    told: null,
    thresholds: null,
    reflexTriedMs: -Infinity,
    freezeTriedMs: -Infinity,
    signalledMs: -Infinity,
    lookedMs: -Infinity,
    nextMs: 0,
    costMs: 0,
  };
}

interface Listening {
  deps: PressureDeps;
  judge: PressureJudge;
  look(): void;
}

/** Where the kernel tells of half and of the watch level by itself, it is listened to. */
function listen(target: JudgedTarget, { deps, judge, look }: Listening): void {
  const { limit } = target.memory;
  if (limit?.version !== 1 || deps.watcher === null) return;
  const halfBytes = HALF * limit.limitBytes;
  const highBytes = (deps.watchPercent / 100) * limit.limitBytes;
  const onHalf = (atMs: number): void => {
    target.memory.note(atMs, halfBytes);
    look();
  };
  const onHigh = (atMs: number, freeze: Freeze | null): void => {
    target.signalledMs = atMs;
    target.memory.note(atMs, highBytes);
    const use = target.memory.look(deps.clock.monotonic(), true);
    if (use) judge.seen(target, use, freeze);
    else freeze?.thaw();
  };
  const places = { directory: limit.directory, halfBytes, highBytes };
  try {
    target.thresholds = watchThresholds(places, { ...deps, watcher: deps.watcher, onHalf, onHigh });
  } catch (thrown) {
    const reason = messageOf(thrown);
    deps.log.debug("memory of a cgroup is sampled only", { cgroup: limit.directory, reason });
  }
}

function limitOf({ cgroups }: Agent): LimitedCgroup | null {
  const { memory, memoryVersion: version } = cgroups;
  const limit = memory !== null && version !== null ? tightestLimit(memory, version) : null;
  if (limit === null || version === null) return null;
  return { directory: limit.directory, version, limitBytes: limit.limitBytes };
}
