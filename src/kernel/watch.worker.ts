// The waiting thread: blocked in epoll_wait until the kernel says something, stamps it, acts if it was told to, passes it on.

import { parentPort, workerData } from "node:worker_threads";
import { messageOf } from "../core/errors.ts";
import { libc, resultOf } from "./libc.ts";
import { monotonicMs } from "./monotonic.ts";
import { epollLayout, type EpollTag, readEpollEvent } from "./structs/epoll-event.ts";
import { createWatchTable, type WriteStep } from "./structs/watch-table.ts";
import {
  PROMPT_SLOT,
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
 * Waking the main thread costs 0.1 ms of processor time, so bulk is read at most this often. The first after a quiet
 * time is read at once.
 */
const BULK_PAUSE_MS = 20;

/**
 * A watched process can make the kernel wake this thread as often as it likes, say by crossing a memory threshold back
 * and forth. From this many prompt wakes in a window on, each is followed by a pause.
 */
const PACE_WINDOW_MS = 100;
const PACE_WAKES = 200;
const PACE_PAUSE_MS = 1;

const PRIO_PROCESS = 0;
const THIS_THREAD = 0;
const HIGHEST = -20;

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
const pace = { windowStartMs: 0, wakes: 0, bulkAgainAtMs: 0 };

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

/** Blocks until something came; what is prompt stands first. */
function next(): Seen[] {
  if (pace.bulkAgainAtMs > 0) {
    const pauseMs = Math.ceil(pace.bulkAgainAtMs - monotonicMs());
    if (pauseMs > 0) return waitOn(start.promptFd, pauseMs);
    pace.bulkAgainAtMs = 0;
  }
  const bulk = waitOn(start.allFd, -1);
  const prompt = bulk.findIndex((event) => event.slot === PROMPT_SLOT);
  if (prompt >= 0) bulk.splice(prompt, 1);
  if (bulk.length > 0) pace.bulkAgainAtMs = monotonicMs() + BULK_PAUSE_MS;
  return prompt >= 0 ? [...waitOn(start.promptFd, 0), ...bulk] : bulk;
}

/** Returns false when it is to end. */
function handle(seen: Seen[]): boolean {
  const atMs = monotonicMs();
  // Reflexes first: each microsecond counts for them and for nothing else.
  const wakes = seen.map(wakeOf);
  let used = 0;
  let stop = false;
  const told = wakes.filter((wake, index) => {
    const event = seen[index] as Seen;
    if (event.slot === STOP_SLOT) {
      stop = true;
      return false;
    }
    if (event.drain) used = drain(event.fd, wake, used);
    const bits = event.drain && !wake.ended ? event.events & EPOLLHUP : event.events;
    const found = wake.stepsArmed > 0 || wake.lengths.length > 0 || wake.lost > 0;
    return found || table.isNews(event.slot, bits);
  });
  if (told.length > 0) tell(atMs, told, used);
  slowDown(atMs);
  return !stop;
}

/** The event with its reflex performed. */
function wakeOf(event: Seen): ThreadWake {
  const steps = table.take(event.slot);
  return {
    slot: event.slot,
    generation: event.generation,
    events: event.events,
    stepsArmed: steps?.length ?? 0,
    stepsDone: steps ? perform(steps) : 0,
    lost: 0,
    ended: !event.drain && (event.events & EPOLLERR) !== 0,
    lengths: [],
  };
}

function tell(atMs: number, wakes: ThreadWake[], used: number): void {
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

function slowDown(atMs: number): void {
  if (atMs - pace.windowStartMs > PACE_WINDOW_MS) {
    pace.windowStartMs = atMs;
    pace.wakes = 0;
  }
  pace.wakes += 1;
  if (pace.wakes > PACE_WAKES) table.pause(PACE_PAUSE_MS);
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

/**
 * This thread sleeps nearly always and must come at once when an agent has taken the processors as well as the memory.
 * At a load of 11 on two cores the slowest hundredth of reflexes took 3 ms with it, 9 ms without. Ordinary users may not; then it
 * stays as it is.
 */
function comeFirst(): void {
  libc().setpriority(PRIO_PROCESS, THIS_THREAD, HIGHEST);
}

comeFirst();
// What a reflex needs is called once before it counts.
perform([{ fd: -1, bytes: new Uint8Array(1) }]);
monotonicMs();
post({ kind: "ready" });
setImmediate(wait);
