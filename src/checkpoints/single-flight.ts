// One piece of work at a time for each key; the others wait their turn, and only so many of them.

import { ObserverError } from "../core/errors.ts";

/** More would mean that checkpoints are asked for faster than they can be taken. */
const WAITING_MAX = 16;

export interface SingleFlight {
  run<T>(key: string, work: () => Promise<T>): Promise<T>;
  /** Nothing new is taken. */
  close(): void;
  /** Resolves when nothing runs or waits. */
  idle(): Promise<void>;
}

export function createSingleFlight(): SingleFlight {
  const tails = new Map<string, { tail: Promise<unknown>; count: number }>();
  let closed = false;
  return {
    async run(key, work) {
      const lane = tails.get(key) ?? { tail: Promise.resolve(), count: 0 };
      if (closed) throw new ObserverError("unavailable", "Checkpoints are stopping");
      if (lane.count > WAITING_MAX)
        throw new ObserverError("busy", `${lane.count} checkpoint operations wait for ${key}`);
      lane.count += 1;
      tails.set(key, lane);
      const turn = lane.tail.then(async () => {
        // What waited while we closed must not start any more.
        if (closed) throw new ObserverError("unavailable", "Checkpoints are stopping");
        return await work();
      });
      lane.tail = turn.catch(() => undefined);
      try {
        return await turn;
      } finally {
        lane.count -= 1;
        if (lane.count === 0) tails.delete(key);
      }
    },
    close() {
      closed = true;
    },
    async idle() {
      await Promise.all([...tails.values()].map((lane) => lane.tail));
    },
  };
}
