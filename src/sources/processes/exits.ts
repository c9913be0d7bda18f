// How agents end: each is held by a pidfd; several witnesses are heard for a moment, and one end is reported.

import type { ProcessId } from "../../core/agent.ts";
import { agentId } from "../../core/agent.ts";
import type { Clock } from "../../core/clock.ts";
import { decodeWaitStatus } from "../../kernel/structs/wait-status.ts";
import { EPOLL, type Wake, type Watch, type Watcher } from "../../kernel/watcher.ts";
import type { Exit, ExitStatus, SeenBy } from "./events.ts";
import { type Host, stateOf } from "./host.ts";

/** The others of the witnesses follow the first within this time (measured: 3 ms), and are worth naming. */
const SETTLE_MS = 10;
/** Longest wait for a status after the process is gone: a parent that reports needs a round over HTTP. */
const STATUS_PATIENCE_MS = 300;
/** A hint of the kernel that a thread leader ended counts for the end of the whole process for this long. */
const HINT_MS = 1_000;
/** Without the waiting thread, held processes are asked this often. */
const POLL_MS = 250;

export interface HeldProcess extends ProcessId {
  uid: number;
}

export interface Exits {
  /**
   * Follows the process until its end is reported. False when it is gone already or is not the same any more; its end
   * is reported all the same, `patienceMs` later at the latest, for those whose parent may still tell.
   */
  hold(process: HeldProcess, options?: { patienceMs?: number }): boolean;
  /** The kernel said that the leader of the process ended. */
  heardExit(pid: number, heard: { status: number; atMs: number }): void;
  /** Its parent says how it ended. False while it lives, or when it is not held. */
  heardParent(process: ProcessId, status: ExitStatus): boolean;
  /** Looks at each held process: for hosts and moments where nothing else tells. */
  lookAtAll(): void;
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

interface Held {
  process: HeldProcess;
  fd: number | null;
  watch: Watch | null;
  patienceMs: number;
  status: ExitStatus | null;
  seenBy: SeenBy[];
  /** Milliseconds since the epoch of the first sign. */
  endedMs: number | null;
  hint: { status: number; atMs: number } | null;
  timer: ReturnType<typeof setTimeout> | null;
  settling: boolean;
}

interface Sign {
  by: SeenBy;
  status: ExitStatus | null;
  atMs: number;
}

export function createExits(deps: ExitsDeps): Exits {
  const { host, clock, watcher } = deps;
  const held = new Map<string, Held>();
  const byPid = new Map<number, Held>();
  let poll: ReturnType<typeof setInterval> | null = null;

  const epochOf = (monotonicAtMs: number): number =>
    Math.round(clock.now() - (host.monotonicMs() - monotonicAtMs));

  function note(one: Held, { by, status, atMs }: Sign): void {
    if (!held.has(agentId(one.process))) return;
    if (!one.seenBy.includes(by)) one.seenBy.push(by);
    one.status ??= status;
    one.endedMs = Math.min(one.endedMs ?? atMs, atMs);
    schedule(one);
  }

  function schedule(one: Held): void {
    const complete = one.status !== null;
    if (one.timer !== null && (one.settling || !complete)) return;
    if (one.timer !== null) clearTimeout(one.timer);
    one.settling = complete;
    one.timer = setTimeout(() => report(one), complete ? SETTLE_MS : one.patienceMs);
  }

  function report(one: Held): void {
    const { hint, process } = one;
    lookForStatus(one);
    if (hint && one.endedMs !== null && one.endedMs - epochOf(hint.atMs) < HINT_MS) {
      one.status ??= decodeWaitStatus(hint.status);
      if (!one.seenBy.includes("proc_connector")) one.seenBy.push("proc_connector");
    }
    release(one);
    deps.onExit(process, { status: one.status, atMs: one.endedMs, seenBy: one.seenBy });
  }

  /** The kernel keeps the status with the pidfd once the process is reaped. */
  function lookForStatus(one: Held): void {
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

  function release(one: Held): void {
    held.delete(agentId(one.process));
    if (byPid.get(one.process.pid) === one) byPid.delete(one.process.pid);
    if (one.timer !== null) clearTimeout(one.timer);
    if (one.watch) one.watch.cancel();
    else if (one.fd !== null) host.close(one.fd);
    one.fd = null;
    if (held.size === 0 && poll !== null) {
      clearInterval(poll);
      poll = null;
    }
  }

  function onWake(one: Held, { events, atMs }: Pick<Wake, "events" | "atMs">): void {
    const sign = { by: "pidfd" as const, status: null, atMs: epochOf(atMs) };
    if ((events & (EPOLL.IN | EPOLL.HUP)) === 0) return;
    note(one, sign);
    lookForStatus(one);
    if (one.status === null) lookAtZombie(one, epochOf(atMs));
    schedule(one);
  }

  function lookAtZombie(one: Held, atMs: number): "alive" | "gone" | "zombie" {
    const now = stateOf(host, one.process);
    if (now.state !== "zombie") return now.state;
    note(one, { by: "zombie", status: trusted(host, one.process, now.status), atMs });
    return "zombie";
  }

  /** By what /proc says now: for signs that say nothing of the whole process, or of which process they speak. */
  function look(one: Held): void {
    const state = lookAtZombie(one, clock.now());
    if (state === "alive") return;
    lookForStatus(one);
    if (state === "gone" && one.endedMs === null) {
      note(one, { by: "gone", status: null, atMs: clock.now() });
    }
    schedule(one);
  }

  function lookAtAll(): void {
    for (const one of held.values()) if (one.endedMs === null) look(one);
  }

  return {
    hold(process, { patienceMs = STATUS_PATIENCE_MS } = {}) {
      const id = agentId(process);
      if (held.has(id)) return true;
      const one: Held = {
        process,
        fd: null,
        watch: null,
        patienceMs,
        status: null,
        seenBy: [],
        endedMs: null,
        hint: null,
        timer: null,
        settling: false,
      };
      held.set(id, one);
      byPid.set(process.pid, one);
      open(one);
      if (watcher === null) poll ??= setInterval(lookAtAll, POLL_MS);
      // It may have ended before it was held, and then nothing tells of it.
      look(one);
      one.patienceMs = STATUS_PATIENCE_MS;
      return one.endedMs === null;
    },
    heardExit(pid, { status, atMs }) {
      const one = byPid.get(pid);
      if (!one) return;
      one.hint = { status, atMs };
      // The leader of a group that goes on ends too; what /proc says decides.
      if (stateOf(host, one.process).state === "alive") return;
      note(one, { by: "proc_connector", status: decodeWaitStatus(status), atMs: epochOf(atMs) });
    },
    heardParent(process, status) {
      const one = held.get(agentId(process));
      if (!one || stateOf(host, one.process).state === "alive") return false;
      note(one, { by: "parent", status, atMs: clock.now() });
      return true;
    },
    lookAtAll,
    stop() {
      for (const one of held.values()) release(one);
    },
  };

  function open(one: Held): void {
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
      const options = { events: EPOLL.IN, onWake: (wake: Wake) => onWake(one, wake) };
      one.watch = watcher?.watch(fd, options) ?? null;
    } catch {
      // Too many are watched, or the thread is gone: scans look at it.
    }
  }
}

/** The kernel shows 0 to those who may not see how a process of another user ended. */
function trusted(host: Host, process: HeldProcess, status: number | null): ExitStatus | null {
  if (status === null) return null;
  const maySee = host.uid === 0 || host.uid === process.uid;
  return status !== 0 || maySee ? decodeWaitStatus(status) : null;
}
