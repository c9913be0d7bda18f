// Watches the kernel's own count of kills in each agent's cgroup, by its signals where it gives them.

import { statSync } from "node:fs";
import type { Clock } from "../../core/clock.ts";
import { messageOf } from "../../core/errors.ts";
import { createEventfd } from "../../kernel/eventfd.ts";
import {
  type CgroupVersion,
  oomNotifier,
  readOomCounters,
  tightestLimit,
} from "../../kernel/cgroup-memory.ts";
import { createInotify, INOTIFY, type Inotify, parseInotify } from "../../kernel/inotify.ts";
import { monotonicMs } from "../../kernel/monotonic.ts";
import { EPOLL, type Watch, type Watcher } from "../../kernel/watcher.ts";
import type { Log } from "../../telemetry/log.ts";

/** The signal comes before the count rises (measured: 2 ms at the median, 16 at most), so it is read again. */
const REREAD_MS = [0, 2, 5, 10, 20, 50, 200];
/** Without signals. One read is some 10 µs. */
const POLL_MS = 1_000;

/** What was in use when the kernel said that there is no more: after the kill it is too low. */
export interface MemorySample {
  limitBytes: number;
  usageBytes: number;
}

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

interface Counted {
  directory: string;
  version: CgroupVersion;
  inode: number;
  kills: number;
  limitReached: number;
  watch: Watch | null;
  inotifyId: number | null;
  /** Newest sign of the kernel that memory is at its end; milliseconds since the epoch. */
  signalMs: number | null;
  sample: MemorySample | null;
  rereads: Set<ReturnType<typeof setTimeout>>;
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
  const { watcher, clock, log } = deps;
  const counted = new Map<string, Counted>();
  const signals = createFileSignals(watcher, log, (directory) => {
    const one = counted.get(directory);
    if (one) signalled(one, clock.now());
  });
  let polled: ReturnType<typeof setInterval> | null = null;

  const read = (one: Counted, missed = false): void => {
    if (counted.get(one.directory) !== one) return;
    const now = readOomCounters(one.directory, one.version);
    if (now === null) return void forget(one);
    const before = one.kills;
    const isMemcg = one.version === 1 ? one.signalMs !== null : now.limitReached > one.limitReached;
    one.kills = now.kills;
    one.limitReached = now.limitReached;
    for (let kills = before + 1; kills <= now.kills; kills += 1) {
      const { directory, version, inode, sample } = one;
      const constraint = isMemcg ? "memcg" : null;
      const atMs = one.signalMs ?? clock.now();
      deps.onKill({ directory, version, inode, kills, constraint, sample, atMs, missed });
    }
  };
  const signalled = (one: Counted, atMs: number): void => {
    const limit = tightestLimit(one.directory, one.version);
    if (limit) one.sample = { limitBytes: limit.limitBytes, usageBytes: limit.usageBytes };
    one.signalMs = atMs;
    for (const timer of one.rereads) clearTimeout(timer);
    one.rereads.clear();
    const last = REREAD_MS.at(-1);
    for (const afterMs of REREAD_MS) {
      const timer = setTimeout(() => {
        one.rereads.delete(timer);
        read(one);
        if (afterMs === last) one.signalMs = null;
      }, afterMs);
      one.rereads.add(timer);
    }
    deps.onSignal(one.directory);
  };
  const forget = (one: Counted): void => {
    counted.delete(one.directory);
    for (const timer of one.rereads) clearTimeout(timer);
    one.watch?.cancel();
    if (one.inotifyId !== null) signals.remove(one.inotifyId);
  };
  const listen = (one: Counted): void => {
    if (watcher === null) return;
    try {
      const notifier = oomNotifier(one, createEventfd);
      if (notifier.kind === "inotify") one.inotifyId = signals.add(notifier.path, one.directory);
      else {
        one.watch = watcher.watch(notifier.fd, {
          events: EPOLL.IN,
          onWake: ({ atMs }) => signalled(one, clock.now() - (monotonicMs() - atMs)),
        });
      }
    } catch (thrown) {
      log.debug("kills of a cgroup are polled", { cgroup: one.directory, reason: messageOf(thrown) });
    }
  };
  const lookAtAll = (): void => {
    for (const one of counted.values()) read(one);
  };

  return {
    add({ directory, version, since }) {
      const known = counted.get(directory);
      if (known) return known;
      const counters = readOomCounters(directory, version);
      const inode = inodeOf(directory);
      if (counters === null || inode === null) return null;
      const kills = Math.min(since(inode) ?? counters.kills, counters.kills);
      const { limitReached } = counters;
      const one: Counted = {
        ...{ directory, version, inode, kills, limitReached },
        ...{ watch: null, inotifyId: null, signalMs: null, sample: null, rereads: new Set() },
      };
      counted.set(directory, one);
      listen(one);
      if (one.watch === null && one.inotifyId === null && polled === null) {
        polled = setInterval(lookAtAll, POLL_MS);
        polled.unref();
      }
      read(one, true);
      return one;
    },
    remove(directory) {
      const one = counted.get(directory);
      if (!one) return;
      read(one);
      forget(one);
    },
    stop() {
      for (const one of counted.values()) forget(one);
      if (polled !== null) clearInterval(polled);
      signals.stop();
    },
  };
}

interface FileSignals {
  add(path: string, directory: string): number;
  remove(id: number): void;
  stop(): void;
}

/** Changes of files, all by one descriptor, made when it is first needed. */
function createFileSignals(
  watcher: Watcher | null,
  log: Log,
  onChange: (directory: string) => void,
): FileSignals {
  let inotify: Inotify | null = null;
  let watch: Watch | null = null;
  const directories = new Map<number, string>();

  const open = (): Inotify => {
    const made = createInotify();
    watch =
      watcher?.watch(made.fd, {
        events: EPOLL.IN,
        drain: true,
        onWake({ chunks }) {
          // Several changes of one file are one reason to read it.
          const changed = new Set<string>();
          for (const { wd, mask } of chunks.flatMap(parseInotify)) {
            if ((mask & INOTIFY.Q_OVERFLOW) !== 0) for (const all of directories.values()) changed.add(all);
            const directory = directories.get(wd);
            if (directory !== undefined) changed.add(directory);
          }
          for (const directory of changed) onChange(directory);
        },
      }) ?? null;
    return made;
  };

  return {
    add(path, directory) {
      inotify ??= open();
      const id = inotify.add(path, INOTIFY.MODIFY);
      directories.set(id, directory);
      return id;
    },
    remove(id) {
      directories.delete(id);
      inotify?.remove(id);
    },
    stop() {
      watch?.cancel();
      if (directories.size > 0) log.debug("cgroups were still watched", { count: directories.size });
    },
  };
}

function inodeOf(directory: string): number | null {
  try {
    return statSync(directory).ino;
  } catch {
    return null;
  }
}
