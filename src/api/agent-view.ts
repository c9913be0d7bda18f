// Live agents as the public API shows them, with what the kernel says of them now.

import type { Agent } from "../core/agent.ts";
import { isoTime } from "../core/text.ts";
import { tightestLimit } from "../kernel/cgroup-memory.ts";
import type { ApiDeps } from "./deps.ts";

type View = Record<string, unknown>;

export type AgentDeps = Pick<
  ApiDeps,
  "agents" | "brakes" | "memoryOf" | "processState" | "host" | "settings"
>;

/** States of /proc/PID/stat that are no running process. */
const STATE_OF_LETTER: Record<string, string> = {
  T: "stopped",
  t: "stopped",
  Z: "zombie",
  X: "gone",
};

/** One agent; `memory_limit_bytes` is null where nothing limits it. */
export function agentView(agent: Agent, deps: AgentDeps): View {
  const memory = deps.memoryOf(agent.id);
  const lease = deps.brakes.lease(agent.id);
  const { cgroups } = agent;
  const limit =
    cgroups.memory !== null && cgroups.memoryVersion !== null
      ? tightestLimit(cgroups.memory, cgroups.memoryVersion)
      : null;
  return {
    id: agent.id,
    kind: agent.kind,
    host: deps.host,
    pid: agent.pid,
    start_time: isoTime(agent.startedMs),
    start_ticks: agent.startTicks,
    started_at: isoTime(agent.startedMs),
    uid: agent.uid,
    command: agent.command,
    cwd: agent.cwd,
    workspace: agent.workspace,
    session_id: agent.sessionId,
    run_id: agent.runId,
    cgroup: cgroups.memory ?? cgroups.unified ?? cgroups.freezer,
    own_cgroup: agent.ownCgroup,
    rss_bytes: memory?.rssBytes ?? null,
    memory_usage_bytes: limit?.workingSetBytes ?? null,
    memory_limit_bytes: memory?.limitBytes ?? limit?.limitBytes ?? null,
    time_to_limit_ms: memory?.timeToLimitMs == null ? null : Math.round(memory.timeToLimitMs),
    state: stateOf(agent, deps),
    paused_until: lease ? isoTime(lease.untilMs) : null,
  };
}

/** What observer did to it wins over what the kernel says: a paused process is a stopped one there. */
function stateOf(agent: Agent, { brakes, processState }: AgentDeps): string {
  const held = brakes.stateOf(agent);
  if (held !== "running") return held;
  const letter = processState(agent);
  return letter === null ? "gone" : (STATE_OF_LETTER[letter] ?? "running");
}
