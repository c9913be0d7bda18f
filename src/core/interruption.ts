// The interruption: what a detector reports, once for each trouble.

export const SEVERITIES = ["info", "low", "medium", "high", "critical"] as const;
export type Severity = (typeof SEVERITIES)[number];

/** Types that detectors of this version report, with their fixed severity (contract section 5). */
export const INTERRUPTION_SEVERITY = {
  agent_crash: "critical",
  retry_storm: "critical",
  dead_loop: "critical",
  oom_kill: "critical",
  retry_limit: "high",
  context_overflow: "high",
  memory_pressure: "medium",
  protection_lost: "medium",
  tool_failure: "low",
} as const satisfies Record<string, Severity>;

export type InterruptionType = keyof typeof INTERRUPTION_SEVERITY;

/** True when `severity` is at least `floor`. */
export function atLeast(severity: Severity, floor: Severity): boolean {
  return SEVERITIES.indexOf(severity) >= SEVERITIES.indexOf(floor);
}

/** What one detector saw in one event. The pipeline turns it into an interruption or counts it to one. */
export interface Finding {
  type: InterruptionType;
  /** What makes two findings of one session the same trouble, e.g. the failing command. */
  fingerprint: string;
  /** When it happened, by the event's own time. */
  timeMs: number;
  /** One line of plain text; may quote the agent, is escaped where it is shown. */
  summary: string;
  detail: Record<string, unknown>;
  /** Ids of the events that prove it, oldest first, at most `EVIDENCE_MAX`. */
  evidence: string[];
  /** The host that the event names; absent: this one. */
  host?: string;
  sessionId?: string;
  agent?: string;
  pid?: number;
  cwd?: string;
  /**
   * Fingerprints of milder findings that are the same trouble. An open interruption among them becomes this
   * one in place (same id, new type and severity), so that one trouble stays one row. `sessionId`: of the milder one
   * where it is another than that of this finding; null for none.
   */
  supersedes?: { type: InterruptionType; fingerprint: string; sessionId?: string | null }[];
  /** True when it only adds proof to an open interruption of its fingerprint: `count` stays as it is. */
  addsProof?: boolean;
}

/** Enough to follow a trouble, small enough to keep forever. */
export const EVIDENCE_MAX = 50;

export interface Interruption {
  id: string;
  type: InterruptionType;
  severity: Severity;
  host: string;
  fingerprint: string;
  sessionId: string | null;
  agent: string | null;
  workspace: string | null;
  pid: number | null;
  /** When the newest type of it occurred; `firstMs` is the start of the trouble. */
  timeMs: number;
  detectedMs: number;
  summary: string;
  detail: Record<string, unknown>;
  evidence: string[];
  count: number;
  firstMs: number;
  lastMs: number;
  resolvedMs: number | null;
}
