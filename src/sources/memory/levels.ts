// How near an agent is to its limit: what is told of it, and what is done. Pure.

export const LEVELS = ["watch", "checkpoint", "freeze"] as const;
export type Level = (typeof LEVELS)[number];

/** Below half of its limit nothing is told of an agent, however fast it fills: that is how programs start. */
export const HALF = 0.5;
/** A host is larger, and many things fill it. */
const HOST_FLOOR = 0.75;
const HOST_WATCH = 0.9;
const HOST_CHECKPOINT = 0.95;
/** A person who is told can still do something within this time. */
const WATCH_MS = 60_000;
/** Whoever fills the rest within a second is not to be outrun: the workspace would change under the copy, too. */
const SAVING_MIN_MS = 1_000;
/** The next checkpoint may take longer than the last one. */
const SAVING_MARGIN = 2;

/** Shares of the limit, 0 to 1. */
export interface LevelRules {
  /** Below it the time to the limit says nothing. */
  floorShare: number;
  watchShare: number;
  checkpointShare: number;
}

/** For agents without a limit of their own: what the kernel could still hand out. */
export const HOST_RULES: LevelRules = {
  floorShare: HOST_FLOOR,
  watchShare: HOST_WATCH,
  checkpointShare: HOST_CHECKPOINT,
};

export interface Situation {
  /** Without page cache that can be dropped. */
  usedBytes: number;
  limitBytes: number;
  /** Null when it does not fill. */
  timeToLimitMs: number | null;
  /** How long the workspace's last checkpoint took. */
  checkpointMs: number;
}

/** Milliseconds before the limit at which a checkpoint has to begin. */
export function savingMs(checkpointMs: number): number {
  return Math.max(SAVING_MIN_MS, SAVING_MARGIN * checkpointMs);
}

/**
 * Null when there is nothing to tell. `checkpoint`: by share, or because the rest lasts only as long as saving takes.
 * `freeze`: saving would not be done in time unless the agent stands still.
 */
export function levelOf(situation: Situation, rules: LevelRules): Level | null {
  const { usedBytes, limitBytes, timeToLimitMs, checkpointMs } = situation;
  const share = usedBytes / limitBytes;
  const leftMs = timeToLimitMs ?? Infinity;
  const soonMs = share >= rules.floorShare ? leftMs : Infinity;
  if (soonMs < savingMs(checkpointMs)) return "freeze";
  if (share >= rules.checkpointShare) return "checkpoint";
  if (share >= rules.watchShare || soonMs < WATCH_MS) return "watch";
  return null;
}

/** 0 for none. */
export function rankOf(level: Level | null): number {
  return level === null ? 0 : LEVELS.indexOf(level) + 1;
}
