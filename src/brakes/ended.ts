// Remembers whom observer ended itself, so that such a death is not taken for a crash.

import type { ProcessId } from "../core/agent.ts";
import type { Clock } from "../core/clock.ts";

/** Long enough for every source to tell of the death. */
const REMEMBER_MS = 60_000;
/** A fork bomb that was ended; the oldest are forgotten first. */
const REMEMBERED_MAX = 10_000;

export interface Ended {
  remember(process: ProcessId): void;
  has(process: ProcessId): boolean;
}

export function createEnded({ monotonic }: Pick<Clock, "monotonic">): Ended {
  /** When, by process; in the order of being remembered. */
  const ended = new Map<string, number>();
  const keyOf = ({ pid, startTicks }: ProcessId): string => `${pid}-${startTicks}`;
  const prune = (): void => {
    const before = monotonic() - REMEMBER_MS;
    for (const [key, atMs] of ended) {
      if (atMs >= before && ended.size <= REMEMBERED_MAX) return;
      ended.delete(key);
    }
  };
  return {
    remember(process) {
      const key = keyOf(process);
      ended.delete(key);
      ended.set(key, monotonic());
      prune();
    },
    has(process) {
      prune();
      return ended.has(keyOf(process));
    },
  };
}
