// The event of an agent that comes near its memory limit.

import { join } from "node:path";
import type { Agent, Freeze } from "../../core/agent.ts";
import type { EventDraft } from "../../core/event.ts";
import { HOST_MEMORY_PRESSURE, readPressure } from "../../kernel/psi.ts";
import type { Level } from "./levels.ts";
import type { LimitedCgroup, Use } from "./memory-target.ts";

/** What stands for the cgroup of agents that only the host limits. */
const HOST = "host";

export interface PressureFacts {
  level: Level;
  limit: LimitedCgroup | null;
  use: Use;
  freeze: Freeze | null;
  /** Milliseconds since the epoch. */
  timeMs: number;
}

export function pressureEvent(agent: Agent, facts: PressureFacts): EventDraft {
  const { level, limit, use, freeze, timeMs } = facts;
  const stalled = someAvg10(limit);
  return {
    kind: "memory_pressure",
    source: "kernel",
    timeMs: Math.round(timeMs),
    pid: agent.pid,
    agent: agent.kind,
    ...(agent.sessionId !== null && { sessionId: agent.sessionId }),
    ...(agent.workspace !== null && { workspace: agent.workspace }),
    data: {
      level,
      cgroup: limit?.directory ?? HOST,
      usage_bytes: use.usedBytes,
      limit_bytes: use.limitBytes,
      fill_bytes_per_s: Math.round(use.bytesPerS),
      time_to_limit_ms: use.timeToLimitMs === null ? null : Math.round(use.timeToLimitMs),
      ...(stalled !== null && { psi_some_avg10: stalled }),
      ...(freeze !== null && { freeze_id: freeze.id, freeze_method: freeze.method }),
      ...(agent.cwd !== null && { cwd: agent.cwd }),
    },
  };
}

/** Per cent of the last 10 s in which something waited for memory: of the cgroup on v2, else of the host. */
function someAvg10(limit: LimitedCgroup | null): number | null {
  const own = limit?.version === 2 ? readPressure(join(limit.directory, "memory.pressure")) : null;
  return (own ?? readPressure(HOST_MEMORY_PRESSURE))?.someAvg10 ?? null;
}
