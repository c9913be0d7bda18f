// Rounds at intervals that go on whatever one of them throws.

import { messageOf } from "../../core/errors.ts";
import type { Log } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";

export interface Loops {
  /** The pause is counted from the end of a round. */
  every(name: string, ms: number, round: () => Promise<void> | void): void;
  stop(): Promise<void>;
}

export function createLoops({ log, metrics }: { log: Log; metrics: Metrics }): Loops {
  const timers = new Map<string, ReturnType<typeof setTimeout>>();
  const running = new Map<string, Promise<void>>();
  let stopped = false;
  const every: Loops["every"] = (name, ms, round) => {
    const run = async (): Promise<void> => {
      try {
        await round();
      } catch (thrown) {
        metrics.add("observer_loop_restarts_total", 1, { loop: name });
        log.error("loop failed and goes on", { loop: name, error: messageOf(thrown) });
      }
      if (!stopped) every(name, ms, round);
    };
    const start = (): void => void running.set(name, run());
    timers.set(name, setTimeout(start, ms));
  };
  return {
    every,
    async stop() {
      stopped = true;
      for (const timer of timers.values()) clearTimeout(timer);
      await Promise.all(running.values());
    },
  };
}
