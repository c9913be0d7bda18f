// Policy: which reactions an interruption gets. Pure; everything it knows is in its arguments.

import { atLeast, type Interruption, type Severity } from "../core/interruption.ts";
import type { ReactionKind, ReactionOrder } from "../core/reaction.ts";

export interface PolicySettings {
  alertSeverity: Severity;
  /** Checkpoints for every agent; see `armed` for one of them. */
  checkpointEnabled: boolean;
  debounceMs: number;
  dryRun: boolean;
}

/** What already happened: when the last automatic checkpoint of each workspace was begun (monotonic clock). */
export interface PolicyHistory {
  lastCheckpointMs: ReadonlyMap<string, number>;
  nowMs: number;
}

type Verdict = Pick<ReactionOrder, "kind" | "verdict" | "reason">;

interface Circumstances {
  settings: PolicySettings;
  history: PolicyHistory;
  /** Whether this interruption may order a checkpoint; absent: as the settings say for all. */
  armed?: boolean;
}

/**
 * Orders for an interruption that was opened or escalated, in the order in which they are begun: the
 * workspace is saved before anyone is told. A suppressed one is an order too, because it is recorded.
 */
export function decide(
  interruption: Interruption,
  { settings, history, armed = settings.checkpointEnabled }: Circumstances,
): Verdict[] {
  const verdicts: Verdict[] = [];
  const { severity } = interruption;
  if (armed && mayLoseWork(interruption)) {
    verdicts.push(checkpointVerdict(interruption, settings, history));
  }
  if (atLeast(severity, settings.alertSeverity)) {
    verdicts.push(verdict("alert", `${severity} is at least ${settings.alertSeverity}`, settings));
  }
  return verdicts;
}

function mayLoseWork({ type, severity, detail }: Interruption): boolean {
  if (type === "memory_pressure") {
    return detail["level"] === "checkpoint" || detail["level"] === "freeze";
  }
  return severity === "critical" || type === "context_overflow";
}

/** Milliseconds since the last automatic checkpoint of the workspace was begun, if that is too short; else null. */
export function debouncedForMs(
  workspace: string,
  { settings, history }: Omit<Circumstances, "armed">,
): number | null {
  const last = history.lastCheckpointMs.get(workspace);
  const agoMs = last === undefined ? Infinity : history.nowMs - last;
  return agoMs < settings.debounceMs ? agoMs : null;
}

function checkpointVerdict(
  { type, workspace }: Interruption,
  settings: PolicySettings,
  history: PolicyHistory,
): Verdict {
  const suppressed = (reason: string): Verdict => ({
    kind: "checkpoint",
    verdict: "suppressed",
    reason,
  });
  if (workspace === null) return suppressed("no workspace of this machine is concerned");
  const agoMs = debouncedForMs(workspace, { settings, history });
  if (agoMs !== null) {
    return suppressed(
      `debounced: a checkpoint of this workspace was begun ${Math.round(agoMs)} ms ago, the least is ${settings.debounceMs} ms`,
    );
  }
  return verdict("checkpoint", `${type} may lose work`, settings);
}

function verdict(kind: ReactionKind, reason: string, { dryRun }: PolicySettings): Verdict {
  return { kind, verdict: dryRun ? "dry_run" : "perform", reason };
}
