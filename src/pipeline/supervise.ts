// Runs every loop: catches what it throws, counts it, starts it again with growing pauses, and stops it.

import { messageOf } from "../core/errors.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";

export interface LoopOptions {
  name: string;
  /** Pause between two rounds. */
  everyMs: number;
  round: () => Promise<void> | void;
}

/** Longest pause after repeated failures. */
const BACKOFF_MAX_MS = 60_000;

/** Starts a loop; the returned function ends it and waits for the round under way. */
export function supervise(
  { name, everyMs, round }: LoopOptions,
  { log, metrics }: { log: Log; metrics: Metrics },
): () => Promise<void> {
  let stopped = false;
  let failures = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: Promise<void> = Promise.resolve();

  const run = async (): Promise<void> => {
    try {
      await round();
      failures = 0;
    } catch (thrown) {
      failures += 1;
      metrics.add("observer_loop_restarts_total", 1, { loop: name });
      log.error("loop failed and goes on", { loop: name, error: messageOf(thrown), failures });
    }
    if (!stopped) schedule();
  };
  const schedule = (): void => {
    const pauseMs = Math.min(everyMs * 2 ** Math.min(failures, 10), BACKOFF_MAX_MS);
    timer = setTimeout(
      () => {
        running = run();
      },
      Math.max(pauseMs, everyMs),
    );
  };
  schedule();

  return async () => {
    stopped = true;
    clearTimeout(timer);
    await running;
  };
}
