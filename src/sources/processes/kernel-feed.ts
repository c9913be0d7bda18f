// What the kernel reports of processes by itself: forks, programs that start, ends.

import { closeSync } from "node:fs";
import type { Capability } from "../../core/agent.ts";
import { messageOf } from "../../core/errors.ts";
import { type ProcConnector, procEventsOf } from "../../kernel/proc-connector.ts";
import type { ProcEvent } from "../../kernel/structs/proc-event.ts";
import { EPOLL, type Wake, type Watch, type Watcher } from "../../kernel/watcher.ts";
import type { Log } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";

export interface KernelFeedDeps {
  watcher: Watcher | null;
  openProcConnector: () => Promise<ProcConnector>;
  log: Log;
  metrics: Metrics;
}

export interface KernelFeedHandlers {
  onFork(ppid: number, pid: number): void;
  onExec(pid: number): void;
  /** Of the process's first thread: others may go on. */
  onExit(exit: { pid: number; status: number; monotonicAtMs: number }): void;
  onLost(): void;
}

const PURPOSE = "sees agents start and die at once, and how what they start dies";

/** Ends of agents are told by their pidfds; what comes by this way may come 20 ms late. */
const AS_BULK = { events: EPOLL.IN, drain: true, bulk: true } as const;

export interface KernelFeed {
  /** Never throws: without it processes are looked for. */
  open(): Promise<void>;
  close(): void;
  isOpen(): boolean;
  capability(): Capability;
}

export function createKernelFeed(deps: KernelFeedDeps, handlers: KernelFeedHandlers): KernelFeed {
  const { log, metrics } = deps;
  let connector: ProcConnector | null = null;
  let watch: Watch | null = null;
  let reason = "it was not opened";

  function close(why: string): void {
    connector?.close();
    watch?.cancel();
    connector = null;
    watch = null;
    reason = why;
  }

  function onWake(wake: Wake): void {
    const counts = new Map<string, number>();
    let isLost = false;
    for (const event of procEventsOf(wake)) {
      if (event.what === "lost") isLost = true;
      else counts.set(event.what, (counts.get(event.what) ?? 0) + 1);
      hand(event, handlers);
    }
    for (const [what, count] of counts) {
      metrics.add("observer_process_events_total", count, { what });
    }
    if (isLost) {
      metrics.add("observer_process_events_lost_total");
      log.warn("process events of the kernel were lost; all processes are looked at");
      handlers.onLost();
    }
    if (wake.ended) {
      close("it broke");
      log.warn("the kernel reports no processes any more; they are looked for");
    }
  }

  return {
    async open() {
      if (deps.watcher === null) {
        reason = "there is no waiting thread";
        return;
      }
      try {
        connector = await deps.openProcConnector();
        watch = deps.watcher.watch(connector.fd, { ...AS_BULK, onWake });
      } catch (thrown) {
        if (connector) closeSync(connector.fd);
        close(messageOf(thrown));
        log.info("the kernel does not report processes; they are looked for", { reason });
      }
    },
    close: () => close("observer stops"),
    isOpen: () => watch !== null && deps.watcher?.state() === "running",
    capability() {
      const name = "proc_connector";
      const isDead = watch !== null && deps.watcher?.state() !== "running";
      if (isDead) reason = "the waiting thread has ended";
      else if (watch !== null) return { name, state: "ok", purpose: PURPOSE, reason: "" };
      return { name, state: "degraded", purpose: PURPOSE, reason };
    },
  };
}

function hand(
  { what, pid, ppid, exitStatus, atMs }: ProcEvent,
  handlers: KernelFeedHandlers,
): void {
  if (what === "fork" && ppid !== undefined) handlers.onFork(ppid, pid);
  else if (what === "exec") handlers.onExec(pid);
  else if (what === "exit" && exitStatus !== undefined) {
    handlers.onExit({ pid, status: exitStatus, monotonicAtMs: atMs });
  }
}
