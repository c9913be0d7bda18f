// A clock that stands until it is moved.

import type { Clock } from "../../src/core/clock.ts";

export interface FakeClock extends Clock {
  advance(ms: number): void;
}

export function createFakeClock(startMs = 1_795_000_000_000): FakeClock {
  let nowMs = startMs;
  return { now: () => nowMs, monotonic: () => nowMs, advance: (ms) => void (nowMs += ms) };
}

/** A log that keeps its lines. */
export function createFakeLog() {
  const lines: string[] = [];
  const add =
    (level: string) =>
    (message: string, fields: object = {}): void =>
      void lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  return { lines, error: add("error"), warn: add("warn"), info: add("info"), debug: add("debug") };
}
