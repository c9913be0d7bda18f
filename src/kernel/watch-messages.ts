// What the main thread and the waiting thread tell each other.

export interface ThreadStart {
  /** All fds: those that are told in bulk, and the other set as one. */
  allFd: number;
  /** The epoll set of what must never wait for bulk: edges, which may have a reflex, other reads, and the eventfd that ends the thread. */
  promptFd: number;
  memory: SharedArrayBuffer;
}

/** What one epoll event became. */
export interface ThreadWake {
  slot: number;
  generation: number;
  events: number;
  /** Steps that were armed for this wake and taken; 0: none. */
  stepsArmed: number;
  stepsDone: number;
  /** How many times something was lost before it could be read. */
  lost: number;
  /** The fd can give nothing any more. */
  ended: boolean;
  /** Sizes of the single reads. */
  lengths: number[];
}

export interface ThreadWakes {
  kind: "wakes";
  /** CLOCK_MONOTONIC when the thread woke. */
  atMs: number;
  wakes: ThreadWake[];
  /** All reads, one after the other in the order of the wakes. */
  data: Uint8Array | null;
  /** Bytes that it counts for until it is handled. */
  cost: number;
}

export type ThreadMessage =
  | ThreadWakes
  | { kind: "ready" }
  | { kind: "stopped" }
  | { kind: "failed"; reason: string };

/** Slot of the eventfd that ends the thread. */
export const STOP_SLOT = 0;
/** Slot of the prompt set in the set of all. */
export const PROMPT_SLOT = 1;
/** Slots from here on are given to watches. */
export const FIRST_SLOT = 2;
