// When the tick runs: as soon as the event loop is free after something arrived, a few passes later when more keeps coming.

/** Waiting events and passes of the event loop after which a commit is not put off any more. */
const GATHER_EVENTS = 256;
const GATHER_PASSES = 8;

export interface PaceOptions {
  /** Events that wait. */
  waiting: () => number;
  /** Handles a batch; true when more is left. */
  run: () => boolean;
}

/** Returns what wakes the tick. Waking it twice is as good as once. */
export function createPace({ waiting, run }: PaceOptions): () => void {
  let scheduled = false;
  let seen = 0;
  let passes = 0;

  const wake = (): void => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(turn);
  };
  const turn = (): void => {
    scheduled = false;
    const count = waiting();
    // As long as each pass of the event loop brings more, a commit a little later serves all of them. A lone
    // caller pays one empty pass, some microseconds.
    if (count > seen && count < GATHER_EVENTS && passes < GATHER_PASSES) {
      seen = count;
      passes += 1;
      return wake();
    }
    seen = 0;
    passes = 0;
    if (run()) wake();
  };
  return wake;
}
