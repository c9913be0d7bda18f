// What the main thread and the waiting thread tell each other.

export interface ThreadStart {
  epollFd: number;
  memory: SharedArrayBuffer;
}

/** What one epoll event became. */
export interface ThreadWake {
  slot: number;
  generation: number;
  events: number;
  /** Steps that were written; null when none were armed. */
  stepsDone: number | null;
  stepsArmed: number;
  lost: number;
  /** The fd can give nothing any more. */
  ended: boolean;
  /** Sizes of the single reads, one after the other in the batch's data. */
  lengths: number[];
}

export type ThreadMessage =
  | { kind: "ready" }
  | { kind: "stopped" }
  | { kind: "failed"; reason: string }
  | { kind: "wakes"; atMs: number; wakes: ThreadWake[]; data: Uint8Array | null; cost: number };

/** Slot of the eventfd that ends the thread. */
export const STOP_SLOT = 0;
