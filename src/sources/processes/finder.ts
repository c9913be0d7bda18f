// Finds agents among the processes and follows their trees: by looks at all of them, and by what the kernel reports.

import { ticksToMs } from "../../kernel/boot.ts";
import type { Scan, SeenProcess } from "../../kernel/scan.ts";
import type { Host } from "./host.ts";
import type { AgentRecord, Member } from "./record.ts";
import type { Records } from "./registry.ts";
import { recognise, type UserRule } from "./rules.ts";

/** Without reports of the kernel a new process is looked at again for this long: it may still run its program. */
const YOUNG_MS = 10_000;
const YOUNG_MAX = 4_096;
/** Orphans of an agent that is gone become agents only when they outlive it: workers end with their parent. */
const ORPHAN_MS = 1_000;

export interface Found {
  process: SeenProcess;
  kind: string;
  /** An agent of the same kind whose process it was, and that it goes on for. */
  heirOf: AgentRecord | null;
}

export interface FinderDeps {
  host: Host;
  records: Records;
  userRules: readonly UserRule[];
  /** How observer starts itself; with a hidden verb behind it, it is one of its helpers. */
  selfCommand: readonly string[];
  now(): number;
  onFound(found: Found): void;
  /** An agent runs another program or has other arguments now. */
  onExec(record: AgentRecord, facts: { process: SeenProcess; kind: string | null }): void;
}

export interface Finder {
  scan(how: "incremental" | "full"): void;
  /** Looks at what is due: orphans, and on hosts whose kernel does not report those that are new. */
  tick(options: { young: boolean }): void;
  /** Makes the live descendants of a new agent its own, but for those of agents below it. */
  claimTree(record: AgentRecord): void;
  heardFork(ppid: number, pid: number): void;
  heardExec(pid: number): void;
  /** The member of an agent's tree that it was; null for a stranger. */
  heardExit(pid: number): Member | null;
  /** One process, as when `observer run` names it; null when it is gone. */
  look(pid: number): SeenProcess | null;
  kindOf(process: Pick<SeenProcess, "pid" | "command">): string | null;
}

interface Shared extends FinderDeps {
  /** Processes that are new, and when they started, in milliseconds since the epoch. */
  young: Map<number, number>;
}

export function createFinder(deps: FinderDeps): Finder {
  const shared: Shared = { ...deps, young: new Map() };
  const { host, records, young } = shared;
  const { scanner } = host;
  return {
    look: (pid) => look(pid, shared),
    kindOf: (process) => kindOf(process, shared),
    scan: (how) => take(scanner.scan(how), shared),
    tick(options) {
      lookAtOrphans(shared);
      for (const [pid, bornMs] of young) {
        if (!options.young || shared.now() - bornMs > YOUNG_MS) young.delete(pid);
        if (options.young) take(scanner.look(pid), shared);
      }
    },
    claimTree: (record) => claimTree(record, shared),
    heardFork(ppid, pid) {
      // Reports come late: an agent that was named or seen meanwhile is known better than by its fork.
      const agent = records.livingAt(pid)?.agent;
      if (agent && host.readStat(pid)?.startTicks === agent.startTicks) return;
      const parent = records.members.get(ppid);
      if (parent?.goneMs !== null || pid === host.pid) {
        records.members.delete(pid);
        return;
      }
      const { agentId } = parent;
      records.setMember(pid, { startTicks: null, agentId, kind: null, goneMs: null });
    },
    heardExec: (pid) => heardExec(pid, shared),
    heardExit(pid) {
      const seen = scanner.processes().get(pid);
      if (seen) scanner.forget(seen);
      young.delete(pid);
      const member = records.members.get(pid) ?? null;
      if (member) member.goneMs ??= shared.now();
      return member;
    },
  };
}

function kindOf(
  { pid, command }: Pick<SeenProcess, "pid" | "command">,
  { host, selfCommand, userRules }: Shared,
): string | null {
  if (pid === host.pid || isHelper(command, selfCommand)) return null;
  const facts = {
    argv: command,
    comm: () => host.readStat(pid)?.comm ?? "",
    exe: () => host.programPath(pid),
  };
  return recognise(facts, userRules);
}

function isHelper(command: readonly string[], selfCommand: readonly string[]): boolean {
  if (selfCommand.length === 0 || !command[selfCommand.length]?.startsWith("__")) return false;
  return selfCommand.every((word, at) => command[at] === word);
}

function look(pid: number, shared: Shared): SeenProcess | null {
  const { scanner } = shared.host;
  take(scanner.look(pid), shared);
  return scanner.processes().get(pid) ?? null;
}

function take({ added, changed, gone }: Scan, shared: Shared): void {
  const { young, records, now, host } = shared;
  for (const { pid, startTicks } of gone) {
    young.delete(pid);
    const member = records.members.get(pid);
    if (member && (member.startTicks ?? startTicks) === startTicks) member.goneMs ??= now();
  }
  const bootedMs = added.length === 0 ? 0 : host.startedMs(0, now());
  for (const process of added.sort(byAge)) {
    const bornMs = bootedMs + ticksToMs(process.startTicks);
    if (now() - bornMs < YOUNG_MS && young.size < YOUNG_MAX) young.set(process.pid, bornMs);
    consider(process, shared);
  }
  for (const process of changed) consider(process, shared);
}

// A parent starts before its children, or in the same tick with a smaller number.
function byAge(one: SeenProcess, other: SeenProcess): number {
  return one.startTicks - other.startTicks || one.pid - other.pid;
}

/** Sees a process that is new or runs something new. Its parent must have been seen before. */
function consider(process: SeenProcess, shared: Shared): void {
  const { host, records } = shared;
  const { pid, ppid, startTicks } = process;
  if (pid === host.pid) return;
  const kind = kindOf(process, shared);
  const self = records.record(process);
  if (self?.endedMs === null) return shared.onExec(self, { process, kind });
  const member = memberOf(process, records);
  const owner = member ? records.byId(member.agentId) : records.recordOfPid(ppid);
  // An orphan of the same kind is looked at later, when it is clear that it outlives its agent.
  const isOwned = owner !== null && (owner.endedMs === null || !owner.orphansSeen);
  if (kind !== null && !(isOwned && owner.ruleKind === kind)) {
    shared.onFound({ process, kind, heirOf: null });
  } else if (owner !== null) {
    records.setMember(pid, { startTicks, agentId: owner.agent.id, kind, goneMs: null });
  }
}

/** What is known of it as a member; one that only had its number is forgotten. */
function memberOf({ pid, startTicks }: SeenProcess, { members }: Records): Member | null {
  const member = members.get(pid);
  if (!member) return null;
  if (member.startTicks === null && member.goneMs === null) member.startTicks = startTicks;
  if (member.startTicks === startTicks) return member;
  members.delete(pid);
  return null;
}

function heardExec(pid: number, shared: Shared): void {
  const { host, records } = shared;
  if (pid === host.pid) return;
  // Most programs are nobody's: one look at the arguments must be enough for them.
  const command = host.readCommandLine(pid);
  if (command === null || command.length === 0) return;
  if (kindOf({ pid, command }, shared) === null && records.livingAt(pid) === null) {
    const member = records.members.get(pid);
    if (member) member.kind = null;
    return;
  }
  const process = look(pid, shared);
  // The look may have found nothing new, as of a process that was seen before its program was an agent's.
  if (process) consider(process, shared);
}

function claimTree(record: AgentRecord, shared: Shared): void {
  const { host, records } = shared;
  for (const { pid, startTicks } of host.treeOf(record.agent)) {
    const below = records.livingAt(pid);
    if (below !== null && below !== record)
      below.runAbove ??= record.agent.runId ?? record.runAbove;
    if (pid === host.pid || (below !== null && below !== record)) continue;
    const owner = below ?? records.recordOfPid(host.readStat(pid)?.ppid ?? 0);
    const seen = host.scanner.processes().get(pid);
    const kind = seen?.startTicks === startTicks ? kindOf(seen, shared) : null;
    if (owner) {
      records.setMember(pid, { startTicks, agentId: owner.agent.id, kind, goneMs: null });
    }
  }
}

function lookAtOrphans(shared: Shared): void {
  const { records, now } = shared;
  for (const record of records.all()) {
    const { endedMs, orphansSeen, ruleKind } = record;
    if (endedMs === null || orphansSeen || now() - endedMs < ORPHAN_MS) continue;
    record.orphansSeen = true;
    if (ruleKind === null) continue;
    for (const process of orphansOf(record, shared)) {
      // The first takes the others below it.
      if (records.livingAt(process.pid) || memberOfLiving(process, records)) continue;
      shared.onFound({ process, kind: ruleKind, heirOf: record });
    }
  }
}

function memberOfLiving({ pid }: SeenProcess, records: Records): boolean {
  const member = records.members.get(pid);
  return member !== undefined && records.byId(member.agentId)?.endedMs === null;
}

/** Processes of the agent's own kind that outlived it, oldest first. */
function orphansOf({ agent, ruleKind }: AgentRecord, shared: Shared): SeenProcess[] {
  const { records } = shared;
  const found: SeenProcess[] = [];
  for (const [pid, { agentId, goneMs, kind }] of records.members) {
    if (agentId !== agent.id || pid === agent.pid || goneMs !== null || kind !== ruleKind) continue;
    const process = look(pid, shared);
    if (process && memberOf(process, records) && kindOf(process, shared) === ruleKind) {
      found.push(process);
    }
  }
  return found.sort(byAge);
}
