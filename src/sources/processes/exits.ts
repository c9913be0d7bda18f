// How agents end: each is held by a pidfd; several witnesses are heard for a moment, and one end is reported.

import { agentId, type ProcessId } from "../../core/agent.ts";
import type { Clock } from "../../core/clock.ts";
import { decodeWaitStatus } from "../../kernel/structs/wait-status.ts";
import { EPOLL, type Wake, type Watch, type Watcher } from "../../kernel/watcher.ts";
import type { Exit, ExitStatus, SeenBy } from "./events.ts";
import { type Host, stateOf } from "./host.ts";

/** The other witnesses follow the first within this time (measured: 3 ms), and are worth naming. */
const SETTLE_MS = 10;
/** Longest wait for a status after the process is gone: a parent that reports needs a round over HTTP. */
const STATUS_PATIENCE_MS = 300;
/** A hint of the kernel that a thread leader ended counts for the end of the whole process for this long. */
const HINT_MS = 1_000;
/** Without the waiting thread, held processes are looked at this often. */
const POLL_MS = 250;

export interface HeldProcess extends ProcessId {
  uid: number;
}

export interface Exits {
  /**
   * Follows the process until its end is reported. Of one that is gone already the end is reported too, after
   * `patienceMs` at the latest, for those whose parent may still tell.
   */
  hold(process: HeldProcess, options?: { patienceMs?: number }): void;
  /** The kernel said that the leader of the process ended; `atMs` of CLOCK_MONOTONIC. */
  heardExit(pid: number, hint: Hint): void;
  /** Its parent says how it ended. False while it lives, or when it is not held. */
  heardParent(process: ProcessId, status: ExitStatus): boolean;
  /** Looks at each held process: for hosts and moments where nothing else tells. */
  lookAtAll(): void;
  /** Reports the ends that were seen, and lets go of the others. */
  stop(): void;
}

export interface ExitsDeps {
  host: Host;
  clock: Clock;
  /** Null where there is no waiting thread. */
  watcher: Watcher | null;
  /** Once for each held process. */
  onExit(process: HeldProcess, exit: Exit): void;
}

interface Hint {
  /** Wait status. */
  status: number;
  /** CLOCK_MONOTONIC. */
  atMs: number;
}

interface Held {
  process: HeldProcess;
  fd: number | null;
  watch: Watch | null;
  patienceMs: number;
  status: ExitStatus | null;
  seenBy: SeenBy[];
  /** Milliseconds since the epoch of the first sign; null while it lives. */
  endedMs: number | null;
  hint: Hint | null;
  timer: ReturnType<typeof setTimeout> | null;
  /** The timer waits for other witnesses only. */
  isSettling: boolean;
}

interface Shared extends ExitsDeps {
  held: Map<string, Held>;
  byPid: Map<number, Held>;
}

export function createExits(deps: ExitsDeps): Exits {
  const shared: Shared = { ...deps, held: new Map(), byPid: new Map() };
  const { held, byPid, host, clock } = shared;
  const lookAtAll = (): void => {
    for (const one of held.values()) if (one.endedMs === null) look(one, shared);
  };
  const poll = deps.watcher === null ? setInterval(lookAtAll, POLL_MS) : null;
  return {
    hold(process, { patienceMs = STATUS_PATIENCE_MS } = {}) {
      if (held.has(agentId(process))) return;
      const one = newHeld(process, patienceMs);
      held.set(agentId(process), one);
      byPid.set(process.pid, one);
      openFile(one, shared);
      // It may have ended before it was held, and then nothing tells of it.
      look(one, shared);
      one.patienceMs = STATUS_PATIENCE_MS;
    },
    heardExit(pid, hint) {
      const one = byPid.get(pid);
      if (!one) return;
      one.hint = hint;
      // The leader of a group that goes on ends too; what /proc says decides.
      if (stateOf(host, one.process).state === "alive") return;
      const status = decodeWaitStatus(hint.status);
      note(one, { by: "proc_connector", status, atMs: epochOf(hint.atMs, shared) }, shared);
    },
    heardParent(process, status) {
      const one = held.get(agentId(process));
      if (!one || stateOf(host, one.process).state === "alive") return false;
      note(one, { by: "parent", status, atMs: clock.now() }, shared);
      return true;
    },
    lookAtAll,
    stop() {
      if (poll !== null) clearInterval(poll);
      // What is known by now is told; how those that live end is for the next start to tell.
      for (const one of held.values()) {
        if (one.endedMs === null) release(one, shared);
        else report(one, shared);
      }
    },
  };
}

function newHeld(process: HeldProcess, patienceMs: number): Held {
  return {
    process,
    fd: null,
    watch: null,
    patienceMs,
    status: null,
    seenBy: [],
    endedMs: null,
    hint: null,
    timer: null,
    isSettling: false,
  };
}

function openFile(one: Held, shared: Shared): void {
  const { host, watcher } = shared;
  let fd: number;
  try {
    fd = host.openPidfd(one.process.pid);
  } catch {
    return; // Gone, or a host without pidfds: what /proc says must do.
  }
  if (host.readStat(one.process.pid)?.startTicks !== one.process.startTicks) {
    host.close(fd);
    return;
  }
  one.fd = fd;
  try {
    const onWake = (wake: Wake): void =>
      wake.events & EPOLL.IN ? woken(one, wake, shared) : undefined;
    one.watch = watcher?.watch(fd, { events: EPOLL.IN, onWake }) ?? null;
  } catch {
    // Too many are watched, or the thread is gone: scans look at it.
  }
}

function epochOf(monotonicAtMs: number, { clock, host }: Shared): number {
  return Math.round(clock.now() - (host.monotonicMs() - monotonicAtMs));
}

interface Sign {
  by: SeenBy;
  status: ExitStatus | null;
  /** Milliseconds since the epoch. */
  atMs: number;
}

function note(one: Held, { by, status, atMs }: Sign, shared: Shared): void {
  if (shared.held.get(agentId(one.process)) !== one) return;
  if (!one.seenBy.includes(by)) one.seenBy.push(by);
  one.status ??= status;
  one.endedMs = Math.min(one.endedMs ?? atMs, atMs);
  schedule(one, shared);
}

/** Soon when it is known how it ended, else later. */
function schedule(one: Held, shared: Shared): void {
  const isComplete = one.status !== null;
  if (one.timer !== null && (one.isSettling || !isComplete)) return;
  if (one.timer !== null) clearTimeout(one.timer);
  one.isSettling = isComplete;
  one.timer = setTimeout(() => report(one, shared), isComplete ? SETTLE_MS : one.patienceMs);
}

function report(one: Held, shared: Shared): void {
  const { hint, process } = one;
  readFromFile(one, shared);
  if (hint && (one.endedMs ?? 0) - epochOf(hint.atMs, shared) < HINT_MS) {
    one.status ??= decodeWaitStatus(hint.status);
    if (!one.seenBy.includes("proc_connector")) one.seenBy.push("proc_connector");
  }
  release(one, shared);
  shared.onExit(process, { status: one.status, atMs: one.endedMs, seenBy: one.seenBy });
}

function release(one: Held, { host, held, byPid }: Shared): void {
  held.delete(agentId(one.process));
  if (byPid.get(one.process.pid) === one) byPid.delete(one.process.pid);
  if (one.timer !== null) clearTimeout(one.timer);
  if (one.watch) one.watch.cancel();
  else if (one.fd !== null) host.close(one.fd);
  one.fd = null;
}

/** The first edge tells of the end, the second that it was reaped; quick parents make them one. */
function woken(one: Held, { atMs }: Pick<Wake, "atMs">, shared: Shared): void {
  const sign = { by: "pidfd" as const, status: null, atMs: epochOf(atMs, shared) };
  note(one, sign, shared);
  readFromFile(one, shared);
  if (one.status === null) lookAtZombie(one, sign.atMs, shared);
  schedule(one, shared);
}

/** The kernel keeps the status with the pidfd once the process is reaped. */
function readFromFile(one: Held, { host }: Shared): void {
  if (one.status !== null || one.fd === null) return;
  try {
    const status = host.pidfdExit(one.fd);
    if (status === null) return;
    one.status = decodeWaitStatus(status);
    if (!one.seenBy.includes("pidfd")) one.seenBy.push("pidfd");
  } catch {
    // The descriptor is gone with the waiting thread.
  }
}

function lookAtZombie(one: Held, atMs: number, shared: Shared): "alive" | "gone" | "zombie" {
  const now = stateOf(shared.host, one.process);
  if (now.state !== "zombie") return now.state;
  const status = trusted(one.process, now.status, shared);
  note(one, { by: "zombie", status, atMs }, shared);
  return "zombie";
}

/** The kernel shows 0 to those who may not see how a process of another user ended. */
function trusted(process: HeldProcess, status: number | null, { host }: Shared): ExitStatus | null {
  if (status === null) return null;
  const maySee = host.uid === 0 || host.uid === process.uid;
  return status !== 0 || maySee ? decodeWaitStatus(status) : null;
}

/** By what /proc says now. */
function look(one: Held, shared: Shared): void {
  const state = lookAtZombie(one, shared.clock.now(), shared);
  if (state === "alive") return;
  readFromFile(one, shared);
  if (one.endedMs === null)
    note(one, { by: "gone", status: null, atMs: shared.clock.now() }, shared);
  schedule(one, shared);
}
