// The live stream: one encoded chunk a tick for all subscribers, and a bounded buffer for each.

import type { Checkpoint } from "../core/checkpoint.ts";
import type { ObserverEvent } from "../core/event.ts";
import type { Interruption } from "../core/interruption.ts";
import type { ReactionRecord } from "../core/reaction.ts";
import type { ApiDeps, LiveFrame } from "./deps.ts";
import { HttpError } from "./problem.ts";
import { checkpointView, eventView, interruptionView, reactionView } from "./views.ts";

/** Frames are sent 10 times a second: smooth to the eye, and nothing to an ingest of thousands a second. */
const TICK_MS = 100;
/** Events in one tick; more cannot be read by a person. Other frames are never left out. */
const EVENTS_PER_TICK_MAX = 100;
/** Quiet streams carry a comment this often, so that proxies and clients know they live. */
const HEARTBEAT_MS = 15_000;
/** Unsent bytes of one subscriber, after which frames are dropped for it. */
const BUFFER_BYTES_MAX = 1 << 20;
/** Milliseconds that a browser waits before it connects again. */
const RETRY_MS = 2_000;

export interface StreamHub {
  /** A response that stays open. Throws `HttpError` 503 when all places are taken. */
  open(afterId: number | null): Response;
  /** Ends every stream and the feed. */
  close(): void;
}

interface Subscriber {
  controller: ReadableStreamDefaultController<Uint8Array>;
  /** Frames that it missed since its last chunk. */
  missed: number;
}

const encoder = new TextEncoder();

export function createStreamHub(deps: ApiDeps): StreamHub {
  const subscribers = new Set<Subscriber>();
  const pulse = createPulse(deps, (chunk, frames) => {
    for (const subscriber of subscribers) send(subscriber, { chunk, frames, deps });
  });
  const count = (): void => {
    deps.metrics.set("observer_stream_subscribers", subscribers.size);
    if (subscribers.size === 0) pulse.stop();
  };
  const join = (controller: Subscriber["controller"], afterId: number | null): Subscriber => {
    // Older frames go out to the others first, so that none reaches the new one twice.
    pulse.flush();
    const subscriber = { controller, missed: 0 };
    controller.enqueue(encoder.encode(greeting(deps, afterId)));
    subscribers.add(subscriber);
    pulse.start();
    count();
    return subscriber;
  };
  return {
    open(afterId) {
      refuseWhenFull(subscribers.size, deps);
      let subscriber: Subscriber | null = null;
      const body = new ReadableStream<Uint8Array>(
        {
          start: (controller) => void (subscriber = join(controller, afterId)),
          cancel() {
            if (subscriber) subscribers.delete(subscriber);
            count();
          },
        },
        new ByteLengthQueuingStrategy({ highWaterMark: BUFFER_BYTES_MAX }),
      );
      return new Response(body, { headers: STREAM_HEADERS });
    },
    close() {
      pulse.flush();
      for (const { controller } of subscribers) controller.close();
      subscribers.clear();
      count();
    },
  };
}

/** Sends a chunk, or counts its frames as missed while the subscriber does not read. */
function send(
  subscriber: Subscriber,
  { chunk, frames, deps }: { chunk: Uint8Array; frames: number; deps: ApiDeps },
): void {
  const { controller } = subscriber;
  if ((controller.desiredSize ?? 0) <= 0) {
    subscriber.missed += frames;
    deps.metrics.add("observer_stream_dropped_total", frames);
    return;
  }
  if (subscriber.missed > 0) {
    controller.enqueue(encoder.encode(`: ${subscriber.missed} frames dropped\n\n`));
    subscriber.missed = 0;
  }
  controller.enqueue(chunk);
}

/** Gathers frames of the feed and hands them on as one chunk a tick; runs only between start and stop. */
function createPulse(deps: ApiDeps, broadcast: (chunk: Uint8Array, frames: number) => void) {
  const pending = createPending(deps);
  const ping = encoder.encode(": ping\n\n");
  let running: { unsubscribe: () => void; heartbeat: ReturnType<typeof setInterval> } | null = null;
  let tick: ReturnType<typeof setTimeout> | null = null;
  const flush = (): void => {
    if (tick) clearTimeout(tick);
    tick = null;
    const { frames, skipped } = pending.take();
    if (frames.length === 0 && skipped === 0) return;
    const note = skipped === 0 ? "" : `: ${skipped} events left out\n\n`;
    broadcast(encoder.encode(note + frames.map(encodeFrame).join("")), frames.length);
  };
  return {
    flush,
    start(): void {
      running ??= {
        unsubscribe: deps.live.subscribe(null, (frames) => {
          pending.add(frames);
          tick ??= setTimeout(flush, TICK_MS);
        }),
        heartbeat: setInterval(() => broadcast(ping, 0), HEARTBEAT_MS),
      };
    },
    stop(): void {
      flush();
      running?.unsubscribe();
      clearInterval(running?.heartbeat);
      running = null;
    },
  };
}

const STREAM_HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "x-accel-buffering": "no",
};

function refuseWhenFull(open: number, deps: ApiDeps): void {
  const max = deps.settings["limits.stream_subscribers"];
  if (open < max) return;
  throw new HttpError(
    { status: 503, code: "streams_full" },
    `Cannot open a stream: all ${max} are taken (limits.stream_subscribers)`,
    { headers: { "retry-after": "10" } },
  );
}

/** What a new subscriber gets at once: the present counts, and what it missed. */
function greeting(deps: ApiDeps, afterId: number | null): string {
  const stats = `event: stats\ndata: ${JSON.stringify(deps.ring.stats())}\n\n`;
  let missed = "";
  if (afterId !== null) {
    deps.live.subscribe(afterId, (frames) => (missed += frames.map(encodeFrame).join("")))();
  }
  return `retry: ${RETRY_MS}\n\n${stats}${missed}`;
}

/** Frames of the current tick; events beyond the bound are counted instead of kept. */
function createPending(deps: ApiDeps) {
  let frames: LiveFrame[] = [];
  let events = 0;
  let skipped = 0;
  return {
    add(added: LiveFrame[]): void {
      for (const frame of added) {
        if (frame.type !== "event") frames.push(frame);
        else if (events < EVENTS_PER_TICK_MAX) {
          events += 1;
          frames.push(frame);
        } else skipped += 1;
      }
    },
    take(): { frames: LiveFrame[]; skipped: number } {
      const taken = { frames, skipped };
      if (skipped > 0) deps.metrics.add("observer_stream_dropped_total", skipped);
      frames = [];
      events = 0;
      skipped = 0;
      return taken;
    },
  };
}

function encodeFrame(frame: LiveFrame): string {
  return `id: ${frame.id}\nevent: ${frame.type}\ndata: ${JSON.stringify(viewOf(frame))}\n\n`;
}

function viewOf({ type, data }: LiveFrame): unknown {
  switch (type) {
    case "event":
      return eventView(data as ObserverEvent);
    case "interruption":
      return interruptionView(data as Interruption);
    case "reaction":
      return reactionView(data as ReactionRecord);
    case "checkpoint":
      return checkpointView(data as Checkpoint);
    case "stats":
      return data;
  }
}
