// Keeps the session and the directory of each live agent up to date.

import type { Agent } from "../../core/agent.ts";
import type { Clock } from "../../core/clock.ts";
import type { ObserverEvent } from "../../core/event.ts";
import type { Host } from "./host.ts";
import type { Keeper } from "./keeper.ts";
import { directoryOf } from "./profile.ts";
import { type AgentRecord, ownDirectories } from "./record.ts";
import type { Records } from "./registry.ts";
import { agentOfEvent, type SessionLooks, type TreeProcess } from "./sessions.ts";
import { retie, sessionOf } from "./ties.ts";

/** Processes of one agent's tree that are looked at for its session, the youngest. */
const TREE_MAX = 256;

export interface FollowDeps {
  host: Host;
  clock: Clock;
  records: Records;
  keeper: Keeper;
  looks: SessionLooks;
  /** Name of this host, as on its events. */
  hostName: string;
  /** Name of observer's own cgroup. */
  cgroupParent: string;
}

export interface Follow {
  /** Looks at every live agent. */
  round(): Promise<void>;
  noteEvent(event: ObserverEvent): void;
  isProven(agentId: string): boolean;
}

export function createFollow({
  host,
  records,
  keeper,
  looks,
  hostName,
  cgroupParent,
}: FollowDeps): Follow {
  async function lookAt(record: AgentRecord): Promise<void> {
    const { pid, runId } = record.agent;
    const cwd = directoryOf(pid, host);
    // A run's workspace was named; any other agent's is where it works.
    const place = cwd !== null && { cwd, ...(runId === null && { workspace: cwd }) };
    keeper.change(record, { ...place, ...cgroupsOf(record.agent) });
    const look = { record, tree: treeOf(record, { host, records }) };
    looks.lookAtChildren(look);
    await looks.lookAtRegister(look);
    if (record.endedMs === null) keeper.retie(record);
  }

  /** Where it is now: systemd moves the program of a run into its scope when that runs already. */
  function cgroupsOf({ pid, startTicks, runId }: Agent): Partial<Agent> {
    const cgroups = host.cgroupsOf(pid);
    if (host.readStat(pid)?.startTicks !== startTicks) return {};
    const own =
      runId === null ? null : ownDirectories(cgroups, { runId, parentName: cgroupParent });
    return own ? { cgroups: own, ownCgroup: true } : { cgroups, ownCgroup: false };
  }

  return {
    async round() {
      await Promise.all(records.live().map(lookAt));
    },
    noteEvent(event) {
      const live = records.live();
      const record = agentOfEvent(event, {
        records: live,
        ofPid: records.recordOfPid,
        host: hostName,
      });
      const { sessionId, timeMs } = event;
      if (!record || sessionId === undefined) return;
      // What is proven of one agent is not believed of another.
      const isAnothers = live.some(
        (other) => other !== record && other.agent.sessionId === sessionId && proven(other),
      );
      if (isAnothers || timeMs < (record.ties.event?.atMs ?? 0)) return;
      record.ties.event = retie(record.ties.event, sessionId, timeMs);
      keeper.retie(record);
    },
    isProven(id) {
      const record = records.byId(id);
      return record !== null && proven(record);
    },
  };
}

function proven({ ties }: AgentRecord): boolean {
  return sessionOf(ties)?.proven ?? false;
}

/** The live processes below the agent, oldest first. */
function treeOf(
  { agent, ruleKind }: AgentRecord,
  { host, records }: { host: Host; records: Records },
): TreeProcess[] {
  const tree: TreeProcess[] = [];
  if (ruleKind === null) return tree;
  for (const [pid, member] of records.members) {
    if (member.agentId !== agent.id || pid === agent.pid || member.goneMs !== null) continue;
    const stat = host.readStat(pid);
    if (!stat || (member.startTicks ?? stat.startTicks) !== stat.startTicks) continue;
    tree.push({ pid, ppid: stat.ppid, startTicks: stat.startTicks, kind: member.kind });
  }
  return tree.sort((one, other) => one.startTicks - other.startTicks).slice(-TREE_MAX);
}
