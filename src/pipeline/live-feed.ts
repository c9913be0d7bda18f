// What just happened, for the live stream: a bounded window, and whoever listens.

import type { EventData, ObserverEvent } from "../core/event.ts";
import { clip } from "../core/text.ts";
import type { StoredEvent } from "../store/event-rows.ts";

/** Frames kept for a listener that comes back with its last id. */
const HELD_FRAMES = 1_000;

export type FrameType = "event" | "interruption" | "reaction" | "checkpoint" | "stats";

/** `id` increases and is what a listener resumes from; `data` is the core type that `type` names. */
export interface Frame {
  id: number;
  type: FrameType;
  data: unknown;
}

type Listener = (frames: Frame[]) => void;

/** `firstId` must be greater than any id of an earlier run, so that a resumed listener misses nothing silently. */
export function createLiveFeed(firstId: number) {
  const held: Frame[] = [];
  const listeners = new Set<Listener>();
  let nextId = firstId;
  return {
    publish(type: FrameType, data: unknown): void {
      const frame = { id: nextId, type, data };
      nextId += 1;
      held.push(frame);
      // Shifted in bulk: shifting one by one would move the whole window for every event.
      if (held.length >= 2 * HELD_FRAMES) held.splice(0, held.length - HELD_FRAMES);
      for (const listener of listeners) listener([frame]);
    },
    /** Frames after `afterId` that are still held are delivered at once; none when it is null. */
    subscribe(afterId: number | null, listener: Listener): () => void {
      if (afterId !== null) {
        const missed = held.filter(({ id }) => id > afterId);
        if (missed.length > 0) listener(missed);
      }
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

/** An event with more JSON than this is shown live without its long texts; the list has it whole. */
const LIVE_JSON_MAX = 8_192;
const LIVE_TEXT_MAX = 500;

/** What the live stream holds of an event, so that a window of large events stays small. */
export function liveEvent({ event, json }: StoredEvent): ObserverEvent {
  if (json.length <= LIVE_JSON_MAX) return event;
  const data: EventData = { truncated: true };
  for (const [name, value] of Object.entries(event.data)) {
    if (typeof value === "string") data[name] = clip(value, LIVE_TEXT_MAX);
    else if (typeof value !== "object") data[name] = value;
  }
  return { ...event, data };
}
