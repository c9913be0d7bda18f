// The kernel's own signals that a v1 cgroup is half full and that it is nearly full, the latter with the freeze as its reflex.

import type { Freeze, FreezeReflex } from "../../core/agent.ts";
import type { Clock } from "../../core/clock.ts";
import { usageThreshold } from "../../kernel/cgroup-memory.ts";
import { monotonicMs } from "../../kernel/monotonic.ts";
import { EPOLL, type Wake, type Watch, type Watcher } from "../../kernel/watcher.ts";
import { watchOrClose } from "./watch-or-close.ts";

export interface ThresholdDeps {
  watcher: Watcher;
  clock: Clock;
  /** Use went over or under half. `atMs` of `clock.monotonic`: when the waiting thread woke. */
  onHalf(atMs: number): void;
  /** Use went over or under the upper place. `freeze`: the agent stands since then, by reflex. */
  onHigh(atMs: number, freeze: Freeze | null): void;
}

export interface Thresholds {
  isArmed(): boolean;
  /** At the next signal of the upper place the agent is stopped before anyone is asked. */
  arm(reflex: FreezeReflex): void;
  disarm(): void;
  stop(): void;
}

/** Bytes are those that the kernel counts, with page cache. Throws `ObserverError` where the cgroup gives no signals. */
export function watchThresholds(
  cgroup: { directory: string; halfBytes: number; highBytes: number },
  deps: ThresholdDeps,
): Thresholds {
  const { watcher, clock, onHalf, onHigh } = deps;
  const { directory } = cgroup;
  const localMs = ({ atMs }: Wake): number => clock.monotonic() - (monotonicMs() - atMs);
  let reflex: FreezeReflex | null = null;

  const watchAt = (bytes: number, onWake: (wake: Wake) => void): Watch =>
    watchOrClose(watcher, usageThreshold(directory, bytes), { events: EPOLL.IN, onWake });
  const half = watchAt(cgroup.halfBytes, (wake) => onHalf(localMs(wake)));
  const takeFreeze = ({ acted, complete, atMs }: Wake): Freeze | null => {
    if (!acted || reflex === null) return null;
    const freeze = reflex.taken(clock.now() - (monotonicMs() - atMs));
    reflex = null;
    if (complete) return freeze;
    // The guardian was told and the agent was not stopped: the cgroup is gone, or not ours any more.
    freeze.thaw();
    return null;
  };
  let stopped = false;
  const openHigh = (): Watch => {
    try {
      return watchAt(cgroup.highBytes, (wake) => {
        const freeze = takeFreeze(wake);
        if (stopped) freeze?.thaw();
        else onHigh(localMs(wake), freeze);
      });
    } catch (thrown) {
      half.cancel();
      throw thrown;
    }
  };
  const high = openHigh();
  const disarm = (): void => {
    // Performed already: the wake that tells of it is on its way, and takes the freeze over.
    if (reflex === null || !high.disarm()) return;
    reflex.dispose();
    reflex = null;
  };

  return {
    isArmed: () => reflex !== null,
    arm(next) {
      if (reflex === null && high.arm(next.steps)) reflex = next;
      else next.dispose();
    },
    disarm,
    stop() {
      stopped = true;
      disarm();
      half.cancel();
      high.cancel();
    },
  };
}
