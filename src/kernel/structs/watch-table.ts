// Memory that the main thread and the waiting thread share: one slot per watch, with what to write at its next wake.

import { ObserverError } from "../../core/errors.ts";
import { GENERATIONS, SLOTS_MAX } from "./epoll-event.ts";

/** Bytes to write to an open file, in one write. */
export interface WriteStep {
  fd: number;
  bytes: Uint8Array;
}

/** Steps of one reflex: the guardian is told, a v2 group is frozen, a v1 group is frozen. */
export const STEPS_MAX = 3;
/** The longest message to the guardian fits. */
export const STEP_BYTES_MAX = 56;

const HEADER_BYTES = 256;
const SLOT_BYTES = 256;
const SLOT_WORDS = SLOT_BYTES / 4;
const STEP_BYTES = 64;
const STEPS_AT = 16;

// Words of a slot; the steps follow: { s32 fd; s32 length; u8 bytes[56]; }.
const GENERATION = 0;
const STATE = 1;
const COUNT = 2;
const TOLD = 3;

// States of a slot's steps. Only ARMED is contended: whoever takes it away has won.
const IDLE = 0;
const ARMED = 1;
const PERFORMED = 2;

const BACKLOG = 0;

export type WatchTable = ReturnType<typeof createWatchTable>;

/** Fresh shared memory for all slots; pages that no slot uses cost nothing. */
export function allocateWatchTable(): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER_BYTES + SLOTS_MAX * SLOT_BYTES);
}

/** Both threads look at the memory through this. */
export function createWatchTable(memory: SharedArrayBuffer) {
  const words = new Int32Array(memory);
  const bytes = new Uint8Array(memory);
  const wordOf = (slot: number, word: number): number =>
    HEADER_BYTES / 4 + slot * SLOT_WORDS + word;
  const stepAt = (slot: number, index: number): number =>
    HEADER_BYTES + slot * SLOT_BYTES + STEPS_AT + index * STEP_BYTES;

  return {
    /** Which watch the slot is of; events of another generation are of one that has ended. */
    generation: (slot: number): number => Atomics.load(words, wordOf(slot, GENERATION)),
    /** Main: what the slot was used for has ended. */
    retire(slot: number): void {
      const at = wordOf(slot, GENERATION);
      Atomics.store(words, at, (Atomics.load(words, at) + 1) % GENERATIONS);
      Atomics.store(words, wordOf(slot, TOLD), 0);
    },

    /** Main: steps for the next wake. False when earlier ones were performed and their wake is still on its way. */
    arm(slot: number, steps: WriteStep[]): boolean {
      checkSteps(steps);
      const state = wordOf(slot, STATE);
      Atomics.compareExchange(words, state, ARMED, IDLE);
      if (Atomics.load(words, state) !== IDLE) return false;
      words[wordOf(slot, COUNT)] = steps.length;
      for (const [index, step] of steps.entries()) {
        const at = stepAt(slot, index);
        words[at / 4] = step.fd;
        words[at / 4 + 1] = step.bytes.length;
        bytes.set(step.bytes, at + 8);
      }
      Atomics.store(words, state, ARMED);
      return true;
    },
    /** Main: takes the steps back. False when they were performed. */
    disarm(slot: number): boolean {
      return Atomics.compareExchange(words, wordOf(slot, STATE), ARMED, IDLE) !== PERFORMED;
    },
    /** Main: the wake that tells of performed steps has arrived. */
    settle: (slot: number): void => void Atomics.store(words, wordOf(slot, STATE), IDLE),
    /** Main: steps were performed and their wake has not arrived. */
    isUnsettled: (slot: number): boolean => Atomics.load(words, wordOf(slot, STATE)) === PERFORMED,

    /** Thread: claims the steps, for ever; null when there are none. Their bytes are copied out of the shared memory. */
    take(slot: number): WriteStep[] | null {
      const state = wordOf(slot, STATE);
      if (Atomics.compareExchange(words, state, ARMED, PERFORMED) !== ARMED) return null;
      return Array.from({ length: words[wordOf(slot, COUNT)] ?? 0 }, (_, index) => {
        const at = stepAt(slot, index);
        const length = words[at / 4 + 1] ?? 0;
        return { fd: words[at / 4] ?? -1, bytes: bytes.slice(at + 8, at + 8 + length) };
      });
    },

    /** Thread: true when these event bits are news, false when main has them before it anyway. */
    isNews(slot: number, events: number): boolean {
      return (Atomics.or(words, wordOf(slot, TOLD), events) & events) !== (events | 0);
    },
    /** Main: is about to look; whatever comes from now on is news. */
    looks: (slot: number): void => void Atomics.store(words, wordOf(slot, TOLD), 0),

    /** Bytes that were posted and not yet handled. */
    backlog: (): number => Atomics.load(words, BACKLOG),
    addBacklog: (bytesAdded: number): void => void Atomics.add(words, BACKLOG, bytesAdded),
    /** Thread: sleeps. */
    pause: (milliseconds: number): void => void Atomics.wait(words, BACKLOG + 1, 0, milliseconds),
  };
}

function checkSteps(steps: WriteStep[]): void {
  if (steps.length === 0 || steps.length > STEPS_MAX) {
    throw new ObserverError("invalid", `A reflex has 1 to ${STEPS_MAX} steps, not ${steps.length}`);
  }
  for (const { bytes } of steps) {
    if (bytes.length > STEP_BYTES_MAX) {
      const rule = `at most ${STEP_BYTES_MAX} bytes`;
      throw new ObserverError("invalid", `A step writes ${rule}, not ${bytes.length}`);
    }
  }
}
