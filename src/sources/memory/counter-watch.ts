// Watches the kernel's own count of kills in each agent's cgroup, by its signals where it gives them.

import { statSync } from "node:fs";
import type { Clock } from "../../core/clock.ts";
import { messageOf } from "../../core/errors.ts";
import { type CgroupVersion, oomNotifier, readOomCounters } from "../../kernel/cgroup-memory.ts";
import { monotonicMs } from "../../kernel/monotonic.ts";
import { EPOLL, type Watcher } from "../../kernel/watcher.ts";
import type { Log } from "../../telemetry/log.ts";
import { fullSample, type MemorySample } from "./full-sample.ts";
import { createFileSignals, type FileSignals } from "./file-signals.ts";
import { watchOrClose } from "./watch-or-close.ts";

/** The signal comes before the count rises (measured: 2 ms at the median, 16 at most), so it is read again. */
const REREAD_MS = [0, 2, 5, 10, 20, 50, 200];
/** Without signals. One read is some 10 µs. */
const POLL_MS = 1_000;

export interface CountedKill {
  directory: string;
  version: CgroupVersion;
  inode: number;
  /** The count that this kill made. */
  kills: number;
  constraint: "memcg" | null;
  sample: MemorySample | null;
  /** Milliseconds since the epoch; of a missed one, of now. */
  atMs: number;
  /** It happened before the watch began. */
  missed: boolean;
}

/** One cgroup whose kills are counted. */
interface Counter {
  directory: string;
  inode: number;
  kills(): number;
  /** False when the kernel cannot tell of it, so that it must be asked. */
  isSignalled: boolean;
  signal(atMs: number): void;
  /** `missed`: what rose did so before the watch began. */
  read(missed?: boolean): void;
  stop(): void;
}

export interface CounterDeps {
  watcher: Watcher | null;
  clock: Clock;
  log: Log;
  onKill(kill: CountedKill): void;
  /** The kernel reports anything about the cgroup's memory: a good moment to look at it. */
  onSignal(directory: string): void;
}

export interface CounterWatch {
  /**
   * Begins to count, from the kills that `since` remembers, else from now. What names the cgroup, and its count;
   * null when nothing can be counted.
   */
  add(cgroup: {
    directory: string;
    version: CgroupVersion;
    since(inode: number): number | null;
  }): { inode: number; kills: number } | null;
  remove(directory: string): void;
  stop(): void;
}

export function createCounterWatch(deps: CounterDeps): CounterWatch {
  const { watcher, clock } = deps;
  const counters = new Map<string, Counter>();
  const files =
    watcher &&
    createFileSignals(watcher, (directory) => counters.get(directory)?.signal(clock.now()));
  let polled: ReturnType<typeof setInterval> | null = null;

  const forget = (directory: string): void => {
    counters.get(directory)?.stop();
    counters.delete(directory);
  };
  const poll = (): void => {
    polled ??= setInterval(() => {
      for (const counter of counters.values()) counter.read();
    }, POLL_MS);
    polled.unref();
  };

  return {
    add({ directory, version, since }) {
      const known = counters.get(directory);
      if (known) return { inode: known.inode, kills: known.kills() };
      const found = readOomCounters(directory, version);
      const inode = inodeOf(directory);
      if (found === null || inode === null) return null;
      const kills = Math.min(since(inode) ?? found.kills, found.kills);
      const counter = createCounter(
        { directory, version, inode, kills, limitReached: found.limitReached },
        { ...deps, files, onGone: () => forget(directory) },
      );
      counters.set(directory, counter);
      if (!counter.isSignalled) poll();
      counter.read(true);
      return { inode, kills };
    },
    remove(directory) {
      counters.get(directory)?.read();
      forget(directory);
    },
    stop() {
      for (const directory of counters.keys()) forget(directory);
      if (polled !== null) clearInterval(polled);
      files?.stop();
    },
  };
}

interface CounterStart {
  directory: string;
  version: CgroupVersion;
  inode: number;
  kills: number;
  limitReached: number;
}

interface CounterParts extends CounterDeps {
  files: FileSignals | null;
  /** Its directory is not there any more. */
  onGone(): void;
}

function createCounter(start: CounterStart, deps: CounterParts): Counter {
  const { directory, version, inode } = start;
  let { kills, limitReached } = start;
  let sample: MemorySample | null = null;
  // Newest sign of the kernel that memory is at its end, milliseconds since the epoch.
  let signalMs: number | null = null;
  let stopped = false;
  const rereads = new Set<ReturnType<typeof setTimeout>>();

  const read = (missed = false): void => {
    const now = stopped ? null : readOomCounters(directory, version);
    if (now === null) return stopped ? undefined : deps.onGone();
    const first = kills + 1;
    const isMemcg = version === 1 ? signalMs !== null : now.limitReached > limitReached;
    if (now.kills >= first && !missed) sample = fullSample(directory, version) ?? sample;
    ({ kills, limitReached } = now);
    for (let count = first; count <= now.kills; count += 1) {
      const constraint = isMemcg ? "memcg" : null;
      const atMs = signalMs ?? deps.clock.now();
      deps.onKill({ directory, version, inode, kills: count, constraint, sample, atMs, missed });
    }
  };
  const clearRereads = (): void => {
    for (const timer of rereads) clearTimeout(timer);
    rereads.clear();
  };
  const signal = (atMs: number): void => {
    // On v1 it says that there is no more; on v2 anything may have happened.
    if (version === 1) sample = fullSample(directory, version);
    signalMs = atMs;
    clearRereads();
    for (const afterMs of REREAD_MS) {
      const timer = setTimeout(() => {
        rereads.delete(timer);
        read();
        if (rereads.size === 0) signalMs = null;
      }, afterMs);
      rereads.add(timer);
    }
    deps.onSignal(directory);
  };
  const stopListening = listen({ directory, version }, signal, deps);

  return {
    directory,
    inode,
    kills: () => kills,
    isSignalled: stopListening !== null,
    signal,
    read,
    stop() {
      stopped = true;
      clearRereads();
      stopListening?.();
    },
  };
}

/** Asks the kernel to tell. Returns the function that ends it; null where it cannot be had. */
function listen(
  cgroup: { directory: string; version: CgroupVersion },
  signal: (atMs: number) => void,
  { watcher, files, clock, log }: CounterParts,
): (() => void) | null {
  if (watcher === null || files === null) return null;
  try {
    const notifier = oomNotifier(cgroup.directory, cgroup.version);
    if (notifier.kind === "inotify") {
      const id = files.add(notifier.path, cgroup.directory);
      return () => files.remove(id);
    }
    const watch = watchOrClose(watcher, notifier.fd, {
      events: EPOLL.IN,
      onWake: ({ atMs }) => signal(clock.now() - (monotonicMs() - atMs)),
    });
    return () => watch.cancel();
  } catch (thrown) {
    const reason = messageOf(thrown);
    log.debug("kills of a cgroup are polled", { cgroup: cgroup.directory, reason });
    return null;
  }
}

function inodeOf(directory: string): number | null {
  try {
    return statSync(directory).ino;
  } catch {
    return null;
  }
}
