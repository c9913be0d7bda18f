// Waits for the kernel in a thread of its own, so that nothing is polled and nothing is stamped late.

import { closeSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { messageOf, ObserverError } from "../core/errors.ts";
import { createEventfd, signalEventfd } from "./eventfd.ts";
import { checked, libc } from "./libc.ts";
import { epollLayout, type EpollTag, SLOTS_MAX, writeEpollEvent } from "./structs/epoll-event.ts";
import {
  allocateWatchTable,
  createWatchTable,
  type WatchTable,
  type WriteStep,
} from "./structs/watch-table.ts";
import {
  FIRST_SLOT,
  PROMPT_SLOT,
  STOP_SLOT,
  type ThreadMessage,
  type ThreadStart,
  type ThreadWake,
  type ThreadWakes,
} from "./watch-messages.ts";

/** linux/eventpoll.h */
export const EPOLL = { IN: 1, PRI: 2, ERR: 8, HUP: 0x10, ET: 0x8000_0000 } as const;
const EPOLL_CLOEXEC = 0x80000;
const CTL_ADD = 1;
const CTL_DEL = 2;

/** The thread may hold an event of a watch that is cancelled; its fd number must not name something else meanwhile. */
const CLOSE_DELAY_MS = 1_000;
const START_PATIENCE_MS = 5_000;
const STOP_PATIENCE_MS = 200;
const TERMINATE_PATIENCE_MS = 2_000;

export interface Wake {
  /** Bits of `EPOLL`. */
  events: number;
  /** `monotonicMs` when the thread woke. */
  atMs: number;
  /** What was read, one per read; only with `drain`. */
  chunks: Uint8Array[];
  /** The armed steps were performed with this wake: all of them if `complete`, else up to the first that failed. */
  acted: boolean;
  complete: boolean;
  /** How many times records were lost before they could be read (EPIPE of kmsg, ENOBUFS of netlink, main too busy). */
  lost: number;
  /** The fd gives nothing any more (EPOLLERR, end of file, a read error): it left epoll, `cancel` closes it. */
  ended: boolean;
}

export interface Watch {
  /**
   * 1 to 3 writes of at most 56 bytes that the waiting thread performs at the next wake, once, before anybody is
   * asked; replaces earlier ones. False, and nothing is armed, when earlier ones were performed and the wake that says so is still on
   * its way. The files must stay open until `disarm`, `cancel` or the wake. Throws `ObserverError` `invalid`.
   */
  arm(steps: WriteStep[]): boolean;
  /** False: already performed; a wake with `acted` tells of it. */
  disarm(): boolean;
  /** Leaves epoll now and closes the fd a while later. Afterwards only a wake with `acted` can still come. */
  cancel(): void;
}

export interface WatchOptions {
  /** Bits of `EPOLL`. */
  events: number;
  /** Without `drain` always so, because nobody reads the fd: each edge is one wake, equal ones that main has not seen yet are one. */
  edge?: true;
  /** The thread reads until there is nothing more; the fd must be non-blocking. For few and long-lived fds. */
  drain?: boolean;
  /** With `drain`, for what comes often and may come 20 ms late: it is read at most every 20 ms, and nothing else waits for it. */
  bulk?: boolean;
  /** Runs on the main thread. What it throws goes to `onError`. */
  onWake(wake: Wake): void;
}

export interface Watcher {
  /**
   * From here on the fd belongs to the watcher, which closes it. Throws `ObserverError` `unavailable` when the thread is
   * gone, `overloaded` when 4,094 fds are watched; `SystemCallError` for an fd that cannot be waited for (then it stays the caller's).
   */
  watch(fd: number, options: WatchOptions): Watch;
  /** `failed`: the thread died; nothing wakes any more. */
  state(): "running" | "failed" | "stopped";
  /** Ends the thread and closes every fd. */
  stop(): Promise<void>;
}

interface Entry {
  fd: number;
  slot: number;
  generation: number;
  /** The epoll set that it is in. */
  set: number;
  cancelled: boolean;
  onWake(wake: Wake): void;
}

interface Shared extends Omit<ThreadStart, "memory"> {
  table: WatchTable;
  entries: (Entry | undefined)[];
  free: number[];
  onError(message: string): void;
}

/** Starts the waiting thread. Throws `ObserverError` `unavailable` with the reason where that cannot be. */
export async function startWatcher(deps: { onError(message: string): void }): Promise<Watcher> {
  const memory = allocateWatchTable();
  const opened: number[] = [];
  const open = (fd: number): number => {
    opened.push(fd);
    return fd;
  };
  try {
    const allFd = open(checked("epoll_create1", libc().epoll_create1(EPOLL_CLOEXEC)));
    const promptFd = open(checked("epoll_create1", libc().epoll_create1(EPOLL_CLOEXEC)));
    const stopFd = open(createEventfd());
    const table = createWatchTable(memory);
    const free: number[] = [];
    for (let slot = SLOTS_MAX - 1; slot >= FIRST_SLOT; slot -= 1) free.push(slot);
    const shared = { allFd, promptFd, table, entries: [], free, onError: deps.onError };
    const own = { drain: false, generation: 0 };
    add(promptFd, EPOLL.IN, { ...own, fd: stopFd, slot: STOP_SLOT });
    add(allFd, EPOLL.IN, { ...own, fd: promptFd, slot: PROMPT_SLOT });
    const thread = await startThread({ allFd, promptFd, memory }, shared);
    return watcherOf(shared, thread, stopFd);
  } catch (thrown) {
    for (const fd of opened) closeSync(fd);
    throw new ObserverError("unavailable", `The waiting thread: ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
}

function watcherOf(shared: Shared, thread: Thread, stopFd: number): Watcher {
  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    for (const entry of shared.entries) if (entry) shared.table.disarm(entry.slot);
    signalEventfd(stopFd);
    await inTime(thread.stopped, STOP_PATIENCE_MS);
    // A thread that cannot be ended may still use its files, so they stay open.
    if (!(await thread.terminate())) return;
    for (const entry of shared.entries) if (entry) closeSync(entry.fd);
    shared.entries = [];
    closeSync(stopFd);
    closeSync(shared.promptFd);
    closeSync(shared.allFd);
  };
  return {
    watch(fd, options) {
      if (stopping || thread.failed()) {
        throw new ObserverError("unavailable", "The waiting thread is gone");
      }
      return addWatch(shared, fd, options);
    },
    state: () => (stopping ? "stopped" : thread.failed() ? "failed" : "running"),
    stop: () => (stopping ??= stop()),
  };
}

function addWatch(shared: Shared, fd: number, options: WatchOptions): Watch {
  const { table } = shared;
  const slot = shared.free.pop();
  if (slot === undefined) throw new ObserverError("overloaded", "Too many files are watched");
  const drain = options.drain ?? false;
  const generation = table.generation(slot);
  const set = drain && options.bulk ? shared.allFd : shared.promptFd;
  const entry = { fd, slot, generation, set, cancelled: false, onWake: options.onWake };
  const bits = (drain ? options.events : options.events | EPOLL.ET) >>> 0;
  shared.entries[slot] = entry;
  // The thread may have marked it while the watch before this one was being cancelled.
  table.looks(slot);
  try {
    add(set, bits, { fd, drain, slot, generation });
  } catch (thrown) {
    shared.entries[slot] = undefined;
    shared.free.push(slot);
    throw thrown;
  }
  return {
    arm: (steps) => !entry.cancelled && table.arm(slot, steps),
    disarm: () => entry.cancelled || table.disarm(slot),
    cancel: () => cancelEntry(shared, entry),
  };
}

function cancelEntry(shared: Shared, entry: Entry): void {
  if (entry.cancelled || shared.entries[entry.slot] !== entry) return;
  entry.cancelled = true;
  leaveEpoll(entry);
  shared.table.retire(entry.slot);
  shared.table.disarm(entry.slot);
  const close = (): void => {
    if (shared.entries[entry.slot] !== entry) return;
    // Steps were performed and main has not heard of it: the slot waits for that wake.
    if (shared.table.isUnsettled(entry.slot)) return void setTimeout(close, CLOSE_DELAY_MS).unref();
    shared.entries[entry.slot] = undefined;
    closeSync(entry.fd);
    shared.free.push(entry.slot);
  };
  setTimeout(close, CLOSE_DELAY_MS).unref();
}

function leaveEpoll(entry: Entry): void {
  try {
    control(entry.set, CTL_DEL, entry.fd, new Uint8Array(16));
  } catch {
    // It left before.
  }
}

function add(epollFd: number, events: number, tag: EpollTag): void {
  control(epollFd, CTL_ADD, tag.fd, writeEpollEvent(epollLayout(process.arch), events, tag));
}

function control(epollFd: number, operation: number, fd: number, event: Uint8Array): void {
  checked("epoll_ctl", libc().epoll_ctl(epollFd, operation, fd, event));
}

/** One batch of the thread, on the main thread. */
function deliver(shared: Shared, { atMs, wakes, data, cost }: ThreadWakes): void {
  shared.table.addBacklog(-cost);
  let at = 0;
  for (const wake of wakes) {
    const chunks = wake.lengths.map((length) => {
      at += length;
      return (data as Uint8Array).subarray(at - length, at);
    });
    const entry = shared.entries[wake.slot];
    if (entry?.generation !== wake.generation) continue;
    deliverOne(shared, entry, wake, { atMs, chunks });
  }
}

function deliverOne(
  shared: Shared,
  entry: Entry,
  wake: ThreadWake,
  { atMs, chunks }: { atMs: number; chunks: Uint8Array[] },
): void {
  const acted = wake.stepsArmed > 0;
  if (acted) shared.table.settle(entry.slot);
  if (entry.cancelled && !acted) return;
  if (!entry.cancelled) {
    shared.table.looks(entry.slot);
    if (wake.ended) leaveEpoll(entry);
  }
  try {
    entry.onWake({
      events: wake.events,
      atMs,
      chunks,
      acted,
      complete: acted && wake.stepsDone === wake.stepsArmed,
      lost: wake.lost,
      ended: wake.ended,
    });
  } catch (thrown) {
    shared.onError(`What follows a wake failed: ${messageOf(thrown)}`);
  }
}

interface Thread {
  failed(): boolean;
  stopped: Promise<void>;
  /** False when it did not end in time. */
  terminate(): Promise<boolean>;
}

/** In the compiled program the thread's file is built in, beside main.ts; see scripts/build.ts. */
function threadFile(): string | URL {
  const compiled = Bun.main.startsWith("/$bunfs/");
  return compiled
    ? "/$bunfs/root/kernel/watch.worker.js"
    : new URL("./watch.worker.ts", import.meta.url);
}

async function startThread(start: ThreadStart, shared: Shared): Promise<Thread> {
  const worker = new Worker(threadFile(), { workerData: start });
  const ready = Promise.withResolvers<void>();
  const stopped = Promise.withResolvers<void>();
  let state: "starting" | "running" | "ending" | "failed" = "starting";
  const fail = (reason: string): void => {
    ready.reject(new Error(reason));
    stopped.resolve();
    if (state === "running") {
      state = "failed";
      shared.onError(`The waiting thread died: ${reason}`);
    }
  };
  worker.on("message", (message: ThreadMessage) => {
    if (message.kind === "wakes") deliver(shared, message);
    else if (message.kind === "ready") ready.resolve();
    else if (message.kind === "stopped") stopped.resolve();
    else fail(message.reason);
  });
  worker.on("error", (error: unknown) => fail(messageOf(error)));
  worker.on("exit", (code: number) => fail(`it ended with ${code}`));
  const terminate = async (): Promise<boolean> => {
    state = "ending";
    return inTime(worker.terminate(), TERMINATE_PATIENCE_MS);
  };
  try {
    if (!(await inTime(ready.promise, START_PATIENCE_MS))) throw new Error("it did not start");
  } catch (thrown) {
    await terminate();
    throw thrown;
  }
  state = "running";
  // By itself it keeps no program alive.
  worker.unref();
  return { failed: () => state === "failed", stopped: stopped.promise, terminate };
}

/** Whether it was done within `patienceMs`; leaves no timer behind. */
async function inTime(done: Promise<unknown>, patienceMs: number): Promise<boolean> {
  const late = Promise.withResolvers<false>();
  const timer = setTimeout(() => late.resolve(false), patienceMs);
  try {
    return await Promise.race([done.then(() => true), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
