// What the main thread and the waiting thread tell each other.

export interface ThreadStart {
  /** Everything: the fds that are read, and the other epoll set as one. */
  epollFd: number;
  /** The fds that are not read, edge-triggered, and the eventfd that ends the thread: what must never wait for the others. */
  edgesFd: number;
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
/** Slot of the set of edges in the set of everything. */
export const EDGES_SLOT = 1;
/** Slots from here on are given to watches. */
export const FIRST_SLOT = 2;
