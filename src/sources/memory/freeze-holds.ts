// Freezes that wait for a checkpoint: held by the one that saves the workspace, ended when nobody does.

import type { Agent, AgentRegistry, Freeze } from "../../core/agent.ts";
import type { Interruption } from "../../core/interruption.ts";
import type { Metrics } from "../../telemetry/metrics.ts";

/** Lets the agent go on. How long it was stopped, and how; null when it was not stopped. Harmless when called again. */
export type ReleaseFreeze = () => { frozenMs: number; method: string } | null;

interface Entry {
  freeze: Freeze;
  held: boolean;
  cap: ReturnType<typeof setTimeout>;
}

/** A checkpoint of an agent's workspace that is under way. */
interface Saving {
  agentId: string;
  freezes: Freeze[];
}

export interface FreezeHolds {
  /** The agent stands. `told`: its event was taken in, so that a checkpoint is begun by now if there will be one. */
  take(freeze: Freeze, told: Promise<unknown>): void;
  /** Called when a checkpoint begins. Null when it has nothing to do with an agent that is near its limit. */
  hold(interruption: Interruption): ReleaseFreeze | null;
  /** A checkpoint of this agent's workspace is under way. */
  isSaving(agentId: string): boolean;
  /** Lets everyone go on. */
  stop(): void;
}

export function createFreezeHolds(deps: {
  registry: AgentRegistry;
  metrics: Metrics;
  capMs: number;
}): FreezeHolds {
  const entries = new Map<string, Entry>();
  const savings = new Set<Saving>();

  const end = (freezeId: string, outcome: "saved" | "unclaimed" | "capped"): number => {
    const entry = entries.get(freezeId);
    if (!entry) return 0;
    entries.delete(freezeId);
    clearTimeout(entry.cap);
    deps.metrics.add("observer_memory_freezes_total", 1, { outcome });
    return entry.freeze.thaw();
  };
  const savingOf = (agentId: string): Saving | undefined =>
    savings.values().find((saving) => saving.agentId === agentId);
  const holdIn = (saving: Saving, entry: Entry): void => {
    entry.held = true;
    saving.freezes.push(entry.freeze);
  };
  const agentOf = ({ type, pid }: Interruption): Agent | null =>
    type === "memory_pressure" && pid !== null ? deps.registry.ofPid(pid) : null;

  return {
    take(freeze, told) {
      const cap = setTimeout(() => end(freeze.id, "capped"), deps.capMs);
      const entry: Entry = { freeze, held: false, cap };
      entries.set(freeze.id, entry);
      // One that began before the agent was stopped still needs the time that is left.
      const underWay = savingOf(freeze.agent.id);
      if (underWay) holdIn(underWay, entry);
      const settle = (): void => {
        if (!entry.held) end(freeze.id, "unclaimed");
      };
      told.then(settle, settle);
    },
    hold(interruption) {
      const entry = entries.get(String(interruption.detail["freeze_id"]));
      const agent = entry?.freeze.agent ?? agentOf(interruption);
      if (!agent) return null;
      const saving: Saving = { agentId: agent.id, freezes: [] };
      if (entry && !entry.held) holdIn(saving, entry);
      savings.add(saving);
      let result: ReturnType<ReleaseFreeze> | undefined;
      return () => {
        if (result !== undefined) return result;
        savings.delete(saving);
        const [first] = saving.freezes;
        for (const { id } of saving.freezes) end(id, "saved");
        // Each says its own time also when it was ended before.
        const frozenMs = saving.freezes.reduce((sum, freeze) => sum + freeze.thaw(), 0);
        result = first ? { frozenMs, method: first.method } : null;
        return result;
      };
    },
    isSaving: (agentId) => savingOf(agentId) !== undefined,
    stop() {
      for (const id of entries.keys()) end(id, "unclaimed");
    },
  };
}
