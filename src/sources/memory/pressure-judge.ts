// Decides what follows from what was seen of a limit: tell it, stop the agent for a checkpoint, or let it go on.

import type { Agent, AgentRegistry, Freeze, Freezer } from "../../core/agent.ts";
import type { Clock } from "../../core/clock.ts";
import type { Offer } from "../../core/contracts.ts";
import type { Watcher } from "../../kernel/watcher.ts";
import type { Log } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { FreezeHolds } from "./freeze-holds.ts";
import { HALF, HOST_RULES, type Level, levelOf, type LevelRules, rankOf } from "./levels.ts";
import type { MemoryTarget, Told, Use } from "./memory-target.ts";
import { pressureEvent } from "./pressure-event.ts";
import type { Thresholds } from "./thresholds.ts";

/** What the last checkpoint of a workspace took is not known before there is one. */
const CHECKPOINT_MS = 1_000;
/** A level that does not hold any more for this long is over; until then it is the same trouble. */
const FALL_MS = 5_000;
/** What was saved once is old when so much more is in use after so long: then the level is told again. */
const RENEW_MS = 30_000;
const RENEW_SHARE = 0.05;
/** After a signal of the upper place, the next one is worth a freeze when use fell below half, or after so long. */
const REARM_MS = 30_000;
/** Armed only well below the place, because the kernel tells of both directions. */
const ARM_BELOW = 0.97;
const REFLEX_RETRY_MS = 2_000;
/** An agent that could not be stopped may be stopped later: a pause ends, a guardian comes back. */
const FREEZE_RETRY_MS = 500;
/** Agents of one limit that are told of and stopped. */
const AGENTS_MAX = 16;

/** What saving an agent's work would be. */
export interface SavingPlan {
  workspace: string;
  /** What its last checkpoint took; null when there is none. */
  checkpointMs: number | null;
}

export interface PressureDeps {
  registry: AgentRegistry;
  /** Null where there is no waiting thread: then memory is sampled only. */
  watcher: Watcher | null;
  /** Null where nothing can be stopped. */
  freezer: Freezer | null;
  holds: FreezeHolds;
  offer: Offer;
  /**
   * Null when no checkpoint would follow: not armed, no workspace, none that can be saved, or saved a moment ago. Asked
   * at every look, so it must cost next to nothing.
   */
  canSave(agent: Agent): SavingPlan | null;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  watchPercent: number;
  checkpointPercent: number;
  /** Whether agents may be stopped. */
  freeze: boolean;
  freezeCapMs: number;
}

export interface JudgedTarget {
  key: string;
  /** Those that the limit holds for. */
  agents: Agent[];
  memory: MemoryTarget;
  told: Told | null;
  thresholds: Thresholds | null;
  reflexTriedMs: number;
  freezeTriedMs: number;
  /** When the kernel told of the upper place, `clock.monotonic`; -Infinity: not since use was below half. */
  signalledMs: number;
}

export interface PressureJudge {
  /** `reflex`: an agent that stands already, and for which this decides. */
  seen(target: JudgedTarget, use: Use, reflex: Freeze | null): void;
  rulesOf(target: JudgedTarget): LevelRules;
}

export function createPressureJudge(deps: PressureDeps): PressureJudge {
  const { clock, metrics, log, freezer, holds } = deps;
  const rules: LevelRules = {
    floorShare: HALF,
    watchShare: deps.watchPercent / 100,
    checkpointShare: deps.checkpointPercent / 100,
  };

  const rulesOf = ({ memory }: JudgedTarget): LevelRules =>
    memory.limit === null ? HOST_RULES : rules;
  /** What the use means, as if everyone could be stopped. */
  const judge = (target: JudgedTarget, use: Use): Level | null => {
    const known = target.agents.map((agent) => deps.canSave(agent)?.checkpointMs ?? CHECKPOINT_MS);
    const checkpointMs = Math.max(...known);
    return levelOf({ ...use, checkpointMs }, rulesOf(target));
  };
  const freezeAll = (target: JudgedTarget): Freeze[] => {
    const { agents, memory } = target;
    if (!deps.freeze || memory.limit === null) return [];
    if (clock.monotonic() - target.freezeTriedMs < FREEZE_RETRY_MS) return [];
    const worth = agents.filter(
      (agent) => deps.canSave(agent) !== null || holds.isSaving(agent.id),
    );
    if (worth.length > 0) target.freezeTriedMs = clock.monotonic();
    return worth.flatMap((agent) => {
      const freeze = freezer?.freeze(agent, deps.freezeCapMs) ?? null;
      if (freeze === null) metrics.add("observer_memory_freezes_total", 1, { outcome: "failed" });
      return freeze ?? [];
    });
  };
  const tell = (target: JudgedTarget, use: Use, { level, freezes }: Telling): void => {
    const atMs = clock.monotonic();
    target.told = { level, atMs, usedBytes: use.usedBytes, milderSinceMs: null };
    metrics.add("observer_memory_levels_total", 1, { level });
    const { limit } = target.memory;
    const drafts = target.agents.slice(0, AGENTS_MAX).map((agent) => {
      const freeze = freezes.find((one) => one.agent.id === agent.id) ?? null;
      const own = level === "freeze" && freeze === null ? "checkpoint" : level;
      return pressureEvent(agent, { level: own, limit, use, freeze, timeMs: clock.now() });
    });
    const told = deps.offer(drafts).then((receipts) => {
      const rejected = receipts.filter(({ status }) => status === "rejected").length;
      if (rejected > 0) log.warn("memory pressure was not kept", { level, events: rejected });
    });
    for (const freeze of freezes) holds.take(freeze, told);
  };

  return {
    rulesOf,
    seen(target, use, reflex) {
      const level = judge(target, use);
      if (reflex && level !== "freeze") {
        // Page cache, or a slow fill: there is time to save the work of a running agent.
        reflex.thaw();
        metrics.add("observer_memory_freezes_total", 1, { outcome: "needless" });
      }
      if (level === null || !isNews(target, { level, use, atMs: clock.monotonic() })) {
        if (level === "freeze" && reflex) holds.take(reflex, Promise.resolve());
        settleLevel(target, level, clock.monotonic());
        armReflex(target, use, deps);
        return;
      }
      const freezes = level !== "freeze" ? [] : reflex ? [reflex] : freezeAll(target);
      const reached = level === "freeze" && freezes.length === 0 ? "checkpoint" : level;
      if (reached !== level && !isNews(target, { level: reached, use, atMs: clock.monotonic() }))
        return;
      target.thresholds?.disarm();
      tell(target, use, { level: reached, freezes });
    },
  };
}

interface Telling {
  level: Level;
  freezes: Freeze[];
}

interface Sight {
  level: Level;
  use: Use;
  atMs: number;
}

/** A level that was not reached yet, or so much more of it that what was saved is old. */
function isNews({ told }: JudgedTarget, { level, use, atMs }: Sight): boolean {
  if (told === null || rankOf(level) > rankOf(told.level)) return true;
  const grown = use.usedBytes - told.usedBytes >= RENEW_SHARE * use.limitBytes;
  return level !== "watch" && grown && atMs - told.atMs >= RENEW_MS;
}

/** The level falls when a milder one held for a while. */
function settleLevel(target: JudgedTarget, level: Level | null, atMs: number): void {
  const { told } = target;
  if (told === null) return;
  if (rankOf(level) >= rankOf(told.level)) told.milderSinceMs = null;
  else told.milderSinceMs ??= atMs;
  if (told.milderSinceMs === null || atMs - told.milderSinceMs < FALL_MS) return;
  if (level === null) target.told = null;
  else target.told = { ...told, level, milderSinceMs: null };
}

/** Keeps the reflex ready where a checkpoint could follow it, and nowhere else. */
function armReflex(target: JudgedTarget, use: Use, deps: PressureDeps): void {
  const { thresholds, agents } = target;
  const [agent, another] = agents;
  const { limit } = target.memory;
  if (!thresholds || !agent || !limit || !deps.freezer || !deps.freeze) return;
  const nowMs = deps.clock.monotonic();
  if (use.usedBytes < HALF * use.limitBytes) target.signalledMs = -Infinity;
  const isBelow = use.usedBytes < ARM_BELOW * (deps.watchPercent / 100) * limit.limitBytes;
  const isFresh = nowMs - target.signalledMs >= REARM_MS;
  // One write stops one agent's cgroup; who shares a limit is stopped by order.
  const isWanted = isBelow && isFresh && !another && deps.canSave(agent) !== null;
  if (!isWanted) return thresholds.disarm();
  if (thresholds.isArmed() || nowMs - target.reflexTriedMs < REFLEX_RETRY_MS) return;
  target.reflexTriedMs = nowMs;
  const reflex = deps.freezer.reflex(agent, deps.freezeCapMs);
  if (reflex) thresholds.arm(reflex);
}
