// The waiting thread: blocked in epoll_wait until the kernel says something, stamps it, acts if it was told to, passes it on.

import { parentPort, workerData } from "node:worker_threads";
import { messageOf } from "../core/errors.ts";
import { libc, resultOf } from "./libc.ts";
import { monotonicMs } from "./monotonic.ts";
import { epollLayout, type EpollTag, readEpollEvent } from "./structs/epoll-event.ts";
import { createWatchTable, type WriteStep } from "./structs/watch-table.ts";
import {
  EDGES_SLOT,
  STOP_SLOT,
  type ThreadMessage,
  type ThreadStart,
  type ThreadWake,
} from "./watch-messages.ts";

const EVENTS_MAX = 256;
/** One read; the longest record of /dev/kmsg and the longest datagram of the proc connector fit. */
const READ_BYTES = 8_192;
/** Reads of one wake together; what is left comes with the next. */
const DATA_BYTES = 256 * 1_024;
/** Posted and not yet handled by main. Beyond it what is read is dropped and told as lost. */
const BACKLOG_BYTES_MAX = 32 * 1_024 * 1_024;
const WAKE_COST_BYTES = 128;

/**
 * A watched process can make the kernel wake this thread as often as it likes, by forks or by crossing a memory
 * threshold back and forth. From this many wakes in a window on there are pauses. While forks are told in bulk
 * (20 µs less per fork, measured), edges, which may have a reflex, still get through at once; a storm of edges waits.
 */
const PACE_WINDOW_MS = 100;
const READ_WAKES = 20;
const READ_PAUSE_MS = 5;
const EDGE_WAKES = 200;
const EDGE_PAUSE_MS = 1;

const EPOLLERR = 8;
const EPOLLHUP = 0x10;
const EINTR = 4;
const EAGAIN = 11;
/** /dev/kmsg: records were overwritten before they were read. */
const EPIPE = 32;
/** netlink: messages did not fit into the socket's buffer. */
const ENOBUFS = 105;

const start = workerData as ThreadStart;
const table = createWatchTable(start.memory);
const layout = epollLayout(process.arch);
// Kept for the life of the thread: the kernel writes into them.
const events = new Uint8Array(new ArrayBuffer(EVENTS_MAX * layout.bytes));
const eventsView = new DataView(events.buffer);
const data = new Uint8Array(new ArrayBuffer(DATA_BYTES));
const pace = { windowStartMs: 0, readWakes: 0, edgeWakes: 0, readAgainAtMs: 0 };

function post(message: ThreadMessage, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}

/** Steps in their order, up to the first that fails. */
function perform(steps: WriteStep[]): number {
  for (const [index, { fd, bytes }] of steps.entries()) {
    if (resultOf(libc().write(fd, bytes, bytes.length)) !== bytes.length) return index;
  }
  return steps.length;
}

/** Reads into `data` from `used` on until there is nothing more; returns how much of `data` is used then. */
function drain(fd: number, wake: ThreadWake, used: number): number {
  let at = used;
  while (at + READ_BYTES <= DATA_BYTES) {
    const got = resultOf(libc().read(fd, data.subarray(at, at + READ_BYTES), READ_BYTES));
    if (got > 0) {
      wake.lengths.push(got);
      at += got;
    } else if (got === -EPIPE || got === -ENOBUFS) {
      wake.lost += 1;
    } else if (got !== -EINTR) {
      wake.ended = got !== -EAGAIN;
      return at;
    }
  }
  return at;
}

type Seen = EpollTag & { events: number };

/** What came in this set, without what is of watches that have ended. */
function waitOn(epollFd: number, timeoutMs: number): Seen[] {
  const count = resultOf(libc().epoll_wait(epollFd, events, EVENTS_MAX, timeoutMs));
  if (count < 0 && count !== -EINTR) throw new Error(`epoll_wait failed: errno ${-count}`);
  const seen: Seen[] = [];
  for (let index = 0; index < count; index += 1) {
    const event = readEpollEvent(layout, eventsView, index);
    if (table.generation(event.slot) === event.generation) seen.push(event);
  }
  return seen;
}

/** Blocks until something came, edges first. */
function next(): Seen[] {
  const pauseMs = Math.ceil(pace.readAgainAtMs - monotonicMs());
  if (pauseMs > 0) return waitOn(start.edgesFd, pauseMs);
  const seen = waitOn(start.epollFd, -1);
  const read = seen.filter((event) => event.slot !== EDGES_SLOT);
  return read.length === seen.length ? seen : [...waitOn(start.edgesFd, 0), ...read];
}

/** Returns false when it is to end. */
function handle(seen: Seen[]): boolean {
  const atMs = monotonicMs();
  // Reflexes first: each microsecond counts for them and for nothing else.
  const acts = seen.map((event) => {
    const steps = table.take(event.slot);
    return steps === null ? null : { armed: steps.length, done: perform(steps) };
  });
  const wakes: ThreadWake[] = [];
  let used = 0;
  for (const [index, event] of seen.entries()) {
    if (event.slot === STOP_SLOT) return false;
    const act = acts[index] ?? null;
    const wake: ThreadWake = {
      slot: event.slot,
      generation: event.generation,
      events: event.events,
      stepsDone: act?.done ?? null,
      stepsArmed: act?.armed ?? 0,
      lost: 0,
      ended: !event.drain && (event.events & EPOLLERR) !== 0,
      lengths: [],
    };
    if (event.drain) used = drain(event.fd, wake, used);
    const told = event.drain && !wake.ended ? event.events & EPOLLHUP : event.events;
    if (act || wake.lengths.length > 0 || wake.lost > 0 || table.isNews(event.slot, told)) {
      wakes.push(wake);
    }
  }
  tell(atMs, wakes, used);
  slowDown(atMs, seen);
  return true;
}

function tell(atMs: number, wakes: ThreadWake[], used: number): void {
  if (wakes.length === 0) return;
  const full = table.backlog() > BACKLOG_BYTES_MAX;
  if (full) {
    for (const wake of wakes) {
      wake.lost += wake.lengths.length;
      wake.lengths = [];
    }
  }
  const kept = full || used === 0 ? null : data.slice(0, used);
  const cost = (kept?.length ?? 0) + wakes.length * WAKE_COST_BYTES;
  table.addBacklog(cost);
  post({ kind: "wakes", atMs, wakes, data: kept, cost }, kept ? [kept.buffer] : []);
}

function slowDown(atMs: number, seen: Seen[]): void {
  if (atMs - pace.windowStartMs > PACE_WINDOW_MS) {
    Object.assign(pace, { windowStartMs: atMs, readWakes: 0, edgeWakes: 0 });
  }
  const read = seen.some((event) => event.drain);
  if (read) pace.readWakes += 1;
  else pace.edgeWakes += 1;
  if (read && pace.readWakes > READ_WAKES) pace.readAgainAtMs = atMs + READ_PAUSE_MS;
  if (!read && pace.edgeWakes > EDGE_WAKES) table.pause(EDGE_PAUSE_MS);
}

function wait(): void {
  try {
    const seen = next();
    if (seen.length > 0 && !handle(seen)) post({ kind: "stopped" });
    else setImmediate(wait);
  } catch (thrown) {
    post({ kind: "failed", reason: messageOf(thrown) });
  }
}

monotonicMs();
post({ kind: "ready" });
setImmediate(wait);
