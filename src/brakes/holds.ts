// All stops that are announced or under way: each is known to the guardian before it begins, and to the list on disk.

import type { Agent, ProcessId } from "../core/agent.ts";
import type { Clock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { Log } from "../telemetry/log.ts";
import type { FreezeEntry } from "./freeze-list.ts";
import type { GuardianLink } from "./guardian-link.ts";
import {
  addLines,
  announceLines,
  beginLine,
  forgetLine,
  releaseLine,
} from "./guardian-protocol.ts";
import { letGo, letGoSurely } from "./let-go.ts";
import { isSame, type Target } from "./target.ts";

/** Tries in the background when the first one did not do; the guardian tries too. */
const LET_GO_PATIENCE_MS = 10_000;
/** A list that could not be written is tried again this often. */
const SAVE_RETRY_MS = 1_000;

/** One reason for an agent to stand. Several may hold one agent; it goes on when the last is over. */
export interface Hold {
  slot: number;
  /** `armed`: the waiting thread may begin it at any time. */
  kind: "armed" | "freeze" | "lease";
  target: Target;
  /** Milliseconds since the epoch; of the announcement while it is armed. */
  sinceMs: number;
  /** The same instant by the monotonic clock. */
  sinceMonotonicMs: number;
  /** Longest for a freeze; null for a lease. */
  capMs: number | null;
  /** End of a lease, milliseconds since the epoch; null for a freeze. */
  untilMs: number | null;
  /** Set when it is over: milliseconds that it stood. */
  stoodMs: number | null;
}

export interface Holds {
  list(): Hold[];
  of(agentId: string): Hold[];
  /** Notes it without telling anyone. */
  put(hold: Omit<Hold, "slot" | "stoodMs">): Hold;
  /** Tells the guardian all of it; false when that cannot be, and then nothing may be stopped. */
  announce(hold: Hold): boolean;
  /** The guardian counts from now on. False as above. */
  begin(hold: Hold): boolean;
  /** More processes that are about to be stopped. False as above. */
  add(hold: Hold, processes: readonly ProcessId[]): boolean;
  /** It is over: lets the agent go on unless another hold stands. Milliseconds that it stood. Harmless when it was over. */
  end(hold: Hold): number;
  /** It never began, and cannot begin any more. */
  withdraw(hold: Hold): void;
  /** Lines for a new guardian. */
  announcements(): string[];
  /** Writes the list now. Throws `ObserverError`. */
  save(durable: boolean): void;
  /** Writes the list soon, and again until it could be written. */
  saveSoon(): void;
  /** Writes what is due and ends all timers. */
  close(): void;
}

export interface HoldsDeps {
  clock: Clock;
  log: Log;
  link: Pick<GuardianLink, "send" | "expectHeard">;
  /** Throws `ObserverError`. */
  write(entries: FreezeEntry[], durable: boolean): void;
}

/** A new hold of an agent that begins, or is announced, now. */
export function holdOf(
  target: Target,
  kind: Hold["kind"],
  { clock, capMs, untilMs }: { clock: Clock; capMs?: number; untilMs?: number },
): Omit<Hold, "slot" | "stoodMs"> {
  return {
    kind,
    target,
    sinceMs: clock.now(),
    sinceMonotonicMs: clock.monotonic(),
    capMs: capMs ?? null,
    untilMs: untilMs ?? null,
  };
}

interface State extends HoldsDeps {
  all: Map<number, Hold>;
  saving: Timer | undefined;
  unsaved: boolean;
}

export function createHolds(deps: HoldsDeps): Holds {
  const state: State = { ...deps, all: new Map(), saving: undefined, unsaved: false };
  const { all, link, clock } = state;
  let lastSlot = 0;
  return {
    list: () => [...all.values()],
    of: (agentId) => [...all.values()].filter(({ target }) => target.agent === agentId),
    put(hold) {
      const full = { ...hold, slot: ++lastSlot, stoodMs: null };
      all.set(full.slot, full);
      return full;
    },
    announce(hold) {
      const lines = announceLines(hold);
      if (!lines || !link.send(lines)) return false;
      link.expectHeard(hold.slot);
      return true;
    },
    begin: (hold) => link.send([beginLine(hold.slot)]),
    add: (hold, processes) => add(state, hold, processes),
    end(hold) {
      if (hold.stoodMs !== null) return hold.stoodMs;
      hold.stoodMs = Math.max(0, clock.monotonic() - hold.sinceMonotonicMs);
      all.delete(hold.slot);
      free(state, hold);
      saveSoon(state);
      return hold.stoodMs;
    },
    withdraw(hold) {
      if (hold.stoodMs !== null) return;
      hold.stoodMs = 0;
      all.delete(hold.slot);
      // Release, not forget: were it begun all the same, it would be let go on.
      link.send([releaseLine(hold.slot)]);
      saveSoon(state);
    },
    announcements: () => [...all.values()].flatMap((hold) => announceLines(hold) ?? []),
    save: (durable) => save(state, durable),
    saveSoon: () => saveSoon(state),
    close() {
      if (state.saving === undefined && !state.unsaved) return;
      trySave(state);
      clearTimeout(state.saving);
    },
  };
}

function save(state: State, durable: boolean): void {
  clearTimeout(state.saving);
  state.saving = undefined;
  state.unsaved = true;
  state.write([...state.all.values()].map(entryOf), durable);
  state.unsaved = false;
}

function saveSoon(state: State, afterMs = 0): void {
  state.saving ??= setTimeout(() => trySave(state), afterMs);
}

function trySave(state: State): void {
  const before = state.unsaved;
  try {
    save(state, false);
  } catch (error) {
    if (!before) state.log.error("freeze list not written", { reason: messageOf(error) });
    saveSoon(state, SAVE_RETRY_MS);
  }
}

function add(state: State, hold: Hold, processes: readonly ProcessId[]): boolean {
  // Noted first: a guardian that takes over is told all of it, and continuing one that runs is harmless.
  hold.target = { ...hold.target, processes: [...hold.target.processes, ...processes] };
  return state.link.send(addLines(hold.slot, processes));
}

const othersOf = ({ all }: State, hold: Hold): Hold[] =>
  [...all.values()].filter(
    (other) => other !== hold && other.kind !== "armed" && other.target.agent === hold.target.agent,
  );

function free(state: State, hold: Hold): void {
  const { link, log } = state;
  const { target } = hold;
  const [other] = othersOf(state, hold);
  if (other) {
    const missing = target.processes.filter(
      (id) => !other.target.processes.some((known) => isSame(known, id)),
    );
    // From here on the other one has to continue them.
    if (missing.length > 0) add(state, other, missing);
    link.send([forgetLine(hold.slot)]);
    return;
  }
  try {
    letGo(target);
    link.send([forgetLine(hold.slot)]);
  } catch (error) {
    log.warn("agent does not go on at the first try", {
      agent: target.agent,
      reason: messageOf(error),
    });
    link.send([releaseLine(hold.slot)]);
  }
  void confirm(state, hold);
}

async function confirm(state: State, hold: Hold): Promise<void> {
  const why = await letGoSurely(hold.target, {
    patienceMs: LET_GO_PATIENCE_MS,
    monotonic: state.clock.monotonic,
    isOver: () => othersOf(state, hold).length > 0,
  });
  if (why === null) return;
  state.log.error("agent may still stand", { agent: hold.target.agent, reason: why });
}

function entryOf({ kind, target, sinceMs, capMs, untilMs }: Hold): FreezeEntry {
  return { kind, target, sinceMs, untilMs: untilMs ?? sinceMs + (capMs ?? 0) };
}

/** `paused` by a lease, `frozen` for a checkpoint. */
export function stateIn(holds: Holds, { id }: Pick<Agent, "id">): "running" | "frozen" | "paused" {
  const kinds = new Set(holds.of(id).map(({ kind }) => kind));
  return kinds.has("lease") ? "paused" : kinds.has("freeze") ? "frozen" : "running";
}
