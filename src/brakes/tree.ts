// Which processes an agent's tree consists of, and stopping it by signals until nothing in it moves.

import type { ProcessId } from "../core/agent.ts";
import { listPids, readStat } from "../kernel/procfs.ts";
import type { ProcessStat } from "../kernel/structs/proc-stat.ts";
import { signalProcess } from "./handle.ts";
import { isSame } from "./target.ts";

/** Longest that a tree is chased: one that still grows then (a fork bomb) is stopped as far as it was seen. */
const CHASE_MS = 400;
/** Longest that is waited for those that have the signal; on a busy machine one may not get a processor for longer. */
const SETTLE_MS = 50;
const SURE_LOOKS = 2;

/** What is known of a tree from earlier looks. */
export interface TreeMemory {
  /** The agent first, then all that were ever seen in the tree. */
  members: ProcessId[];
  /**
   * Sessions that a member leads or led, with the start time of that leader. Only its descendants can be in them, so
   * they tell of processes whose parents are gone. (A process group does not: an agent's may hold its shell's pager.)
   */
  sessions: Map<number, number>;
}

export function startTree(root: ProcessId): TreeMemory {
  return { members: [{ pid: root.pid, startTicks: root.startTicks }], sessions: new Map() };
}

/** All processes of this moment, as far as one pass over /proc can tell. */
export function readProcesses(): ProcessStat[] {
  const all: ProcessStat[] = [];
  for (const pid of listPids()) {
    const stat = readStat(pid);
    if (stat) all.push(stat);
  }
  return all;
}

/**
 * The tree within one look at all processes: the members that live, what descends from them, and what is in their
 * sessions; parents before children. Adds to `memory`. Pure but for that.
 */
export function growTree(memory: TreeMemory, processes: ProcessStat[]): ProcessStat[] {
  const byPid = new Map(processes.map((stat) => [stat.pid, stat]));
  const children = Map.groupBy(processes, ({ ppid }) => ppid);
  const known = new Map(memory.members.map((member) => [member.pid, member]));
  const found = new Map<number, ProcessStat>();
  const queue: ProcessStat[] = [];
  const take = (stat: ProcessStat | undefined): void => {
    if (!stat || found.has(stat.pid)) return;
    found.set(stat.pid, stat);
    queue.push(stat);
    if (stat.session === stat.pid) memory.sessions.set(stat.pid, stat.startTicks);
    const before = known.get(stat.pid);
    if (before && isSame(before, stat)) return;
    known.set(stat.pid, stat);
    memory.members.push({ pid: stat.pid, startTicks: stat.startTicks });
  };
  const follow = (): void => {
    for (let stat = queue.shift(); stat; stat = queue.shift())
      for (const child of children.get(stat.pid) ?? [])
        // A child is never older; a process that reports otherwise has another parent by now.
        if (child.startTicks >= stat.startTicks) take(child);
  };
  for (const member of memory.members.slice()) {
    const stat = byPid.get(member.pid);
    if (stat && isSame(stat, member)) take(stat);
  }
  follow();
  // Sessions that are found on the way hold orphans that lead sessions of their own, and so on.
  for (let size = -1; size !== found.size;) {
    size = found.size;
    for (const stat of processes) if (isInSession(stat, memory, byPid)) take(stat);
    follow();
  }
  return [...found.values()];
}

function isInSession(
  stat: ProcessStat,
  { sessions }: TreeMemory,
  byPid: Map<number, ProcessStat>,
): boolean {
  const since = sessions.get(stat.session);
  if (since === undefined || stat.startTicks < since) return false;
  // While a session has members the kernel gives its number to no one else; a new leader means a new session.
  const leader = byPid.get(stat.session);
  return leader === undefined || leader.startTicks === since;
}

/**
 * The tree now; `extra` are processes that belong to it for another reason (its cgroup). A parent whose number went to
 * somebody else during the look is noticed, and what seems to hang on it is left out.
 */
export function lookAtTree(memory: TreeMemory, extra: readonly number[] = []): ProcessStat[] {
  let processes = readProcesses();
  const pids = new Set(extra);
  const added = processes.filter(
    (stat) => pids.has(stat.pid) && !memory.members.some((member) => isSame(member, stat)),
  );
  for (;;) {
    const draft: TreeMemory = {
      members: [...memory.members, ...added.map(idOf)],
      sessions: new Map(memory.sessions),
    };
    const found = growTree(draft, processes);
    const reused = new Set<number>();
    for (const stat of found) {
      const now = readStat(stat.pid);
      if (now !== null && !isSame(now, stat)) reused.add(stat.pid);
    }
    if (reused.size === 0) {
      memory.members = draft.members;
      memory.sessions = draft.sessions;
      return found;
    }
    processes = processes.filter(({ pid }) => !reused.has(pid));
  }
}

export interface StopOptions {
  /** Told of each process before it is stopped; false ends the work. */
  before(processes: ProcessId[]): boolean;
  monotonic(): number;
  /** Stopped before; a process that moves again all the same is stopped again. */
  stopped?: readonly ProcessId[];
  /** Leave out those that we may not signal, instead of throwing. */
  lenient?: boolean;
}

export interface Stopped {
  /** All that we stopped, in this order: the agent first, so that it starts nothing more. */
  processes: ProcessId[];
  /** False: it grew faster than it could be stopped, or `before` ended it. */
  complete: boolean;
}

/**
 * SIGSTOP to the agent, then to its descendants, again until a look finds no new one and all stand. Who was stopped by
 * somebody else is left as found, and not continued by us later. Throws `ObserverError` `not_permitted`, `failed`.
 */
export function stopTree(memory: TreeMemory, options: StopOptions): Stopped {
  const startMs = options.monotonic();
  let freshMs = startMs;
  let looksWithoutFresh = 0;
  const processes = [...(options.stopped ?? [])];
  const known = new Set(processes.map(keyOf));
  for (;;) {
    const tree = lookAtTree(memory);
    const fresh = tree.filter((stat) => isMoving(stat) && !known.has(keyOf(stat))).map(idOf);
    const moving = movingOf(tree);
    if (moving.length === 0 && fresh.length === 0) return { processes, complete: true };
    const nowMs = options.monotonic();
    looksWithoutFresh = fresh.length > 0 ? 0 : looksWithoutFresh + 1;
    if (fresh.length > 0) freshMs = nowMs;
    // Each of them has the signal, so none gets to an instruction of its own any more, and there was time for what they
    // had begun: one that is not seen to stand waits for a processor, for a device, or is held by a debugger.
    if (looksWithoutFresh >= SURE_LOOKS && nowMs - freshMs > SETTLE_MS)
      return { processes, complete: true };
    if (nowMs - startMs > CHASE_MS) return { processes, complete: false };
    if (fresh.length > 0 && !options.before(fresh)) return { processes, complete: false };
    for (const id of fresh) known.add(keyOf(id));
    processes.push(...fresh);
    for (const stat of [...fresh, ...moving]) stopOne(stat, options.lenient === true);
    if (fresh.length === 0) Bun.sleepSync(1);
  }
}

function stopOne(id: ProcessId, lenient: boolean): void {
  try {
    signalProcess(id, "SIGSTOP");
  } catch (error) {
    if (!lenient) throw error;
  }
}

const idOf = ({ pid, startTicks }: ProcessId): ProcessId => ({ pid, startTicks });
const keyOf = ({ pid, startTicks }: ProcessId): string => `${pid}-${startTicks}`;

/** Neither stopped nor ended. */
function isMoving({ state }: ProcessStat): boolean {
  return state !== "T" && state !== "Z" && state !== "X";
}

/**
 * Those that neither stand nor ended. Who waits for its own child, which was stopped between vfork and exec, is shown as
 * in an uninterruptible wait: it stands as long as the child does.
 */
export function movingOf(stats: readonly ProcessStat[]): ProcessStat[] {
  const parents = new Set(stats.filter(({ state }) => state === "T").map(({ ppid }) => ppid));
  return stats.filter((stat) => isMoving(stat) && !(stat.state === "D" && parents.has(stat.pid)));
}

/** The same of processes that are known: those of them that move now. */
export function moving(processes: readonly ProcessId[]): ProcessStat[] {
  return movingOf(
    processes.flatMap((id) => {
      const stat = readStat(id.pid);
      return stat !== null && isSame(stat, id) ? [stat] : [];
    }),
  );
}

/** Continues those that we stopped, children before parents, so that no shell among them sees a stopped child. */
export function continueTree(processes: readonly ProcessId[]): void {
  let refused: unknown;
  for (const id of [...processes].reverse()) {
    try {
      signalProcess(id, "SIGCONT");
    } catch (error) {
      // One that may not be signalled must not keep the others stopped.
      refused ??= error;
    }
  }
  if (refused !== undefined) throw refused;
}

/** Those of the list that still stand. */
export function standing(processes: readonly ProcessId[]): ProcessId[] {
  return processes.filter((id) => {
    const stat = readStat(id.pid);
    return stat !== null && isSame(stat, id) && stat.state === "T";
  });
}
