// What the guardian keeps in mind: which stops were announced, which have begun, and when each of them is over.

import type { Clock } from "../core/clock.ts";
import type { Announcement, Command, Report } from "./guardian-protocol.ts";
import type { letGoSurely } from "./let-go.ts";
import { isSame, type Target } from "./target.ts";

/** Longest that an agent may stand for a checkpoint, whatever was announced. 3 s are promised; the rest is for being late. */
export const CAP_MS_MAX = 2_900;
/** Tries to let a cgroup go on; it has never been seen to need more than one. */
const LET_GO_PATIENCE_MS = 10_000;
/** A living observer ends its leases itself; only one that hangs is this late. */
const LATE_OBSERVER_MS = 5_000;
/** Wall clocks jump, so a far end is looked at again this often. */
const LEASE_LOOK_MS = 60_000;
/** Far more than a host has agents; a flood of announcements is a fault. */
const SLOTS_MAX = 10_000;

export interface WardDeps {
  clock: Clock;
  report(report: Report): void;
  letGoSurely: typeof letGoSurely;
  /** End of the agent's lease in the list on disk: null when it has none any more, undefined when nobody can tell. */
  leaseEnd(agent: string): number | null | undefined;
}

export interface Ward {
  take(command: Command): void;
  /** Observer is gone: lets all go on that stand for a checkpoint, and keeps the leases. Resolves when none is left. */
  orphaned(): Promise<void>;
}

interface Slot extends Announcement {
  /** `clock.monotonic` when it began; null before. */
  begunMs: number | null;
  timer: Timer | undefined;
}

interface State {
  deps: WardDeps;
  slots: Map<number, Slot>;
  /** Observer is gone. */
  alone: boolean;
  /** How many are being let go on. */
  busy: number;
  /** Called when observer is gone and nothing is left. */
  end(): void;
}

export function createWard(deps: WardDeps): Ward {
  const { promise: empty, resolve: end } = Promise.withResolvers<void>();
  const state: State = { deps, slots: new Map(), alone: false, busy: 0, end };
  return {
    take(command) {
      if (command.kind === "announce") return announce(state, command.announcement);
      const slot = state.slots.get(command.slot);
      if (slot) apply(state, slot, command);
    },
    async orphaned() {
      state.alone = true;
      for (const slot of Array.from(state.slots.values())) {
        if (slot.untilMs !== null) lookAtLease(state, slot);
        else if (slot.begunMs === null) forget(state, slot);
        else void free(state, slot);
      }
      endIfEmpty(state);
      await empty;
    },
  };
}

function announce(state: State, announcement: Announcement): void {
  const { slots, deps } = state;
  const known = slots.get(announcement.slot);
  if (!known && slots.size >= SLOTS_MAX) {
    // It is not answered as heard, so observer will not rely on it.
    deps.report({ kind: "trouble", slot: announcement.slot, reason: "too many stops" });
    return;
  }
  clearTimeout(known?.timer);
  const { target } = announcement;
  // A renewal: its processes follow, but who dies before they do must not have taken any away.
  const processes = [...(known?.target.processes ?? []), ...target.processes];
  const begunMs = known?.begunMs ?? null;
  const slot = { ...announcement, target: { ...target, processes }, begunMs, timer: undefined };
  slots.set(slot.slot, slot);
  if (slot.untilMs !== null) lookAtLease(state, slot);
  deps.report({ kind: "heard", slot: slot.slot });
}

function apply(state: State, slot: Slot, command: Exclude<Command, { kind: "announce" }>): void {
  switch (command.kind) {
    case "add":
      slot.target = {
        ...slot.target,
        processes: [
          ...slot.target.processes,
          ...command.processes.filter(
            (id) => !slot.target.processes.some((known) => isSame(known, id)),
          ),
        ],
      };
      return;
    case "begin":
      if (slot.begunMs !== null || slot.capMs === null) return;
      slot.begunMs = state.deps.clock.monotonic();
      slot.timer = setTimeout(() => void free(state, slot), Math.min(slot.capMs, CAP_MS_MAX));
      return;
    case "forget":
      forget(state, slot);
      return;
    case "release":
      if (slot.begunMs === null && slot.untilMs === null) forget(state, slot);
      else void free(state, slot);
  }
}

function forget({ slots }: State, slot: Slot): void {
  clearTimeout(slot.timer);
  slots.delete(slot.slot);
}

function endIfEmpty({ alone, busy, slots, end }: State): void {
  if (alone && busy === 0 && slots.size === 0) end();
}

const some = ({ slots }: State, target: Target, test: (slot: Slot) => boolean): boolean =>
  [...slots.values()].some((slot) => slot.target.agent === target.agent && test(slot));

async function free(state: State, slot: Slot): Promise<void> {
  const { deps } = state;
  const { target } = slot;
  forget(state, slot);
  const isPaused = (): boolean => some(state, target, ({ untilMs }) => untilMs !== null);
  // It stands by a lease: that decides when it goes on.
  if (isPaused()) return endIfEmpty(state);
  const ms = slot.begunMs === null ? 0 : deps.clock.monotonic() - slot.begunMs;
  state.busy += 1;
  const why = await deps.letGoSurely(target, {
    patienceMs: LET_GO_PATIENCE_MS,
    monotonic: deps.clock.monotonic,
    isOver: () => isPaused() || some(state, target, ({ begunMs }) => begunMs !== null),
  });
  state.busy -= 1;
  if (why !== null) deps.report({ kind: "trouble", slot: slot.slot, reason: why });
  deps.report({ kind: "thawed", slot: slot.slot, ms });
  endIfEmpty(state);
}

function lookAtLease(state: State, slot: Slot): void {
  const nowMs = state.deps.clock.now();
  const lateMs = state.alone ? 0 : LATE_OBSERVER_MS;
  if (slot.untilMs !== null && nowMs >= slot.untilMs + lateMs) {
    // The list is the truth: an observer that was started since may have renewed the lease, or ended it.
    const untilMs = state.deps.leaseEnd(slot.target.agent);
    if (untilMs === null) {
      forget(state, slot);
      return endIfEmpty(state);
    }
    if (untilMs === undefined || nowMs >= untilMs) return void free(state, slot);
    slot.untilMs = untilMs;
  }
  const waitMs = (slot.untilMs ?? 0) + lateMs - nowMs;
  clearTimeout(slot.timer);
  slot.timer = setTimeout(
    () => lookAtLease(state, slot),
    Math.max(1, Math.min(waitMs, LEASE_LOOK_MS)),
  );
}
