// Violent deaths of what agents start: kept as evidence, at a bounded rate for each agent.

import type { ProcessId } from "../../core/agent.ts";
import { decodeWaitStatus } from "../../kernel/structs/wait-status.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { Log } from "../../telemetry/log.ts";
import { childExitEvent } from "./events.ts";
import type { EventDraft } from "../../core/event.ts";
import { createRecentMap } from "../recent-map.ts";
import type { Host } from "./host.ts";
import type { AgentRecord, Member } from "./record.ts";

/** The contract's crash signals. */
const VIOLENT = new Set(["SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL"]);
/** A test suite that crashes again and again is told by its first ones. */
const EXITS_MAX = 20;
const WINDOW_MS = 60_000;
/** Agents whose rate is remembered. */
const AGENTS_MAX = 1_000;

export interface ChildExit {
  pid: number;
  member: Member;
  /** Wait status. */
  status: number;
  /** Milliseconds since the epoch. */
  atMs: number;
}

export interface ChildrenDeps {
  host: Host;
  log: Log;
  metrics: Metrics;
  endedByUs(process: ProcessId): boolean;
}

export type Children = ReturnType<typeof createChildren>;

export function createChildren({ host, log, metrics, endedByUs }: ChildrenDeps) {
  const windows = createRecentMap<{ sinceMs: number; count: number }>(AGENTS_MAX);

  function isTooMany(id: string, nowMs: number): boolean {
    const window = windows.get(id);
    if (!window || nowMs - window.sinceMs > WINDOW_MS) {
      windows.set(id, { sinceMs: nowMs, count: 1 });
      return false;
    }
    window.count += 1;
    if (window.count === EXITS_MAX + 1) {
      log.warn("an agent's children die faster than is kept", {
        agent: id,
        keptPerMinute: EXITS_MAX,
      });
    }
    return window.count > EXITS_MAX;
  }

  return {
    /** The event of a violent end; null for any other, and for one too many. */
    exitOf(record: AgentRecord, { pid, member, status, atMs }: ChildExit): EventDraft | null {
      const ended = decodeWaitStatus(status);
      if (!ended.coreDumped && !VIOLENT.has(ended.signal ?? "")) return null;
      if (isTooMany(record.agent.id, atMs)) {
        metrics.add("observer_child_exits_dropped_total");
        return null;
      }
      // Often still there as a zombie, or known from a look before.
      const stat = host.readStat(pid);
      const isSame = stat !== null && (member.startTicks ?? stat.startTicks) === stat.startTicks;
      const startTicks =
        member.startTicks ?? (isSame && stat.state === "Z" ? stat.startTicks : null);
      return childExitEvent(record, {
        boot: host.boot,
        exit: { status: ended, atMs, seenBy: ["proc_connector"] },
        endedByUs: startTicks !== null && endedByUs({ pid, startTicks }),
        pid,
        startTicks,
        comm: isSame ? stat.comm : null,
        startedMs: startTicks === null ? null : host.startedMs(startTicks, atMs),
      });
    },
  };
}
