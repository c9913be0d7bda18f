// Finds agents among the processes and follows their trees: by looks at all of them, and by what the kernel reports.

import type { Host } from "./host.ts";
import type { AgentRecord, Member } from "./record.ts";
import type { Records } from "./registry.ts";
import { recognise, type UserRule } from "./rules.ts";
import type { Scan, SeenProcess } from "../../kernel/scan.ts";

/** Without reports of the kernel a new process is looked at again for this long: it may still run its program. */
const YOUNG_MS = 10_000;
const YOUNG_MAX = 4_096;
/** Orphans of an agent that is gone become agents only when they outlive it: workers end with their parent. */
const ORPHAN_MS = 1_000;

export interface FinderOptions {
  userRules: UserRule[];
  /** How observer starts itself; with a hidden verb behind it, it is one of its helpers. */
  selfCommand: readonly string[];
}

export interface Found {
  process: SeenProcess;
  kind: string;
  /** An agent of the same kind whose process it was, and that it goes on for. */
  heirOf: AgentRecord | null;
}

export interface FinderDeps {
  host: Host;
  records: Records;
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

export function createFinder(options: FinderOptions, deps: FinderDeps): Finder {
  const { host, records, now } = deps;
  const { scanner } = host;
  const young = new Map<number, number>();

  function kindOf({ pid, command }: Pick<SeenProcess, "pid" | "command">): string | null {
    if (pid === host.pid || isHelper(command, options.selfCommand)) return null;
    const facts = {
      argv: command,
      comm: () => host.readStat(pid)?.comm ?? "",
      exe: () => host.programPath(pid),
    };
    return recognise(facts, options.userRules);
  }

  /** Sees a process that is new or runs something new. Its parent must have been seen before. */
  function consider(process: SeenProcess): void {
    const { pid, ppid, startTicks } = process;
    if (pid === host.pid) return;
    const kind = kindOf(process);
    const self = records.record(process);
    if (self?.endedMs === null) return deps.onExec(self, { process, kind });
    const member = memberOf(process);
    const owner = member ? records.byId(member.agentId) : records.recordOfPid(ppid);
    const isOwned = owner !== null && owner.endedMs === null;
    // An orphan of the same kind is looked at later, when it is clear that it outlives its agent.
    const waits = owner !== null && !isOwned && !owner.orphansSeen;
    if (kind !== null && !(owner !== null && owner.ruleKind === kind && (isOwned || waits))) {
      deps.onFound({ process, kind, heirOf: null });
    } else if (owner !== null) {
      records.setMember(pid, { startTicks, agentId: owner.agent.id, kind, goneMs: null });
    }
  }

  /** What is known of it as a member; one that only has its number is forgotten. */
  function memberOf({ pid, startTicks }: SeenProcess): Member | null {
    const member = records.members.get(pid);
    if (!member) return null;
    if (member.startTicks === null && member.goneMs === null) member.startTicks = startTicks;
    if (member.startTicks === startTicks) return member;
    records.members.delete(pid);
    return null;
  }

  function take({ added, changed, gone }: Scan): void {
    for (const { pid, startTicks } of gone) {
      young.delete(pid);
      const member = records.members.get(pid);
      if (member && (member.startTicks ?? startTicks) === startTicks) member.goneMs ??= now();
    }
    // A parent starts before its children, or in the same tick with a smaller number.
    const inOrder = [...added].sort(
      (one, other) => one.startTicks - other.startTicks || one.pid - other.pid,
    );
    for (const process of inOrder) {
      if (young.size < YOUNG_MAX) young.set(process.pid, now());
      consider(process);
    }
    for (const process of changed) consider(process);
  }

  function lookAtOrphans(): void {
    for (const record of records.all()) {
      if (record.endedMs === null || record.orphansSeen) continue;
      if (now() - record.endedMs < ORPHAN_MS) continue;
      record.orphansSeen = true;
      for (const orphan of orphansOf(record)) {
        // The first takes the others of its kind below it.
        const owner = records.recordOfPid(orphan.ppid);
        if (owner?.endedMs === null && owner.ruleKind === record.ruleKind) {
          adoptMember(orphan, owner);
        } else if (record.ruleKind !== null) {
          deps.onFound({ process: orphan, kind: record.ruleKind, heirOf: record });
        }
      }
    }
  }

  function orphansOf({ agent, ruleKind }: AgentRecord): SeenProcess[] {
    const found: SeenProcess[] = [];
    for (const [pid, member] of records.members) {
      if (member.agentId !== agent.id || pid === agent.pid || member.goneMs !== null) continue;
      if (ruleKind === null || member.kind !== ruleKind) continue;
      const process = look(pid);
      if (process && memberOf(process) && kindOf(process) === ruleKind) found.push(process);
    }
    return found.sort((one, other) => one.startTicks - other.startTicks || one.pid - other.pid);
  }

  function adoptMember({ pid, startTicks }: SeenProcess, owner: AgentRecord): void {
    const { ruleKind: kind } = owner;
    records.setMember(pid, { startTicks, agentId: owner.agent.id, kind, goneMs: null });
  }

  function look(pid: number): SeenProcess | null {
    take(scanner.look(pid));
    return scanner.processes().get(pid) ?? null;
  }

  return {
    look,
    kindOf,
    scan: (how) => take(scanner.scan(how)),
    tick(options) {
      lookAtOrphans();
      for (const [pid, sinceMs] of young) {
        if (!options.young || now() - sinceMs > YOUNG_MS) young.delete(pid);
        if (options.young) take(scanner.look(pid));
      }
    },
    claimTree(record) {
      for (const { pid, startTicks } of host.treeOf(record.agent)) {
        const below = records.livingAt(pid);
        if (pid === host.pid || (below !== null && below !== record)) continue;
        const parent = records.recordOfPid(host.readStat(pid)?.ppid ?? 0);
        const owner = below ?? parent;
        const seen = scanner.processes().get(pid);
        const kind = seen?.startTicks === startTicks ? kindOf(seen) : null;
        if (owner)
          records.setMember(pid, { startTicks, agentId: owner.agent.id, kind, goneMs: null });
      }
    },
    heardFork(ppid, pid) {
      const parent = records.members.get(ppid);
      if (parent?.goneMs === null && pid !== host.pid) {
        const { agentId } = parent;
        records.setMember(pid, { startTicks: null, agentId, kind: null, goneMs: null });
      } else {
        records.members.delete(pid);
      }
    },
    heardExec(pid) {
      if (pid === host.pid) return;
      // Most programs are nobody's: one look at the arguments must be enough for them.
      const command = host.readCommandLine(pid);
      if (command === null || command.length === 0) return;
      const kind = kindOf({ pid, command });
      const member = records.members.get(pid);
      if (kind === null && records.livingAt(pid) === null) {
        if (member) member.kind = null;
        return;
      }
      const process = look(pid);
      if (process) consider(process);
    },
    heardExit(pid) {
      const seen = scanner.processes().get(pid);
      if (seen) scanner.forget(seen);
      young.delete(pid);
      const member = records.members.get(pid) ?? null;
      if (member) member.goneMs ??= now();
      return member;
    },
  };
}

function isHelper(command: readonly string[], selfCommand: readonly string[]): boolean {
  if (selfCommand.length === 0 || !command[selfCommand.length]?.startsWith("__")) return false;
  return selfCommand.every((word, at) => command[at] === word);
}
