// Policy as a table: interruption and history in, verdicts out.

import { describe, expect, test } from "bun:test";
import { INTERRUPTION_SEVERITY, type Interruption } from "../../src/core/interruption.ts";
import { decide, type PolicySettings } from "../../src/pipeline/policy.ts";

const ON: PolicySettings = {
  alertSeverity: "medium",
  checkpointEnabled: true,
  debounceMs: 30_000,
  dryRun: false,
};

interface Row {
  name: string;
  type: keyof typeof INTERRUPTION_SEVERITY;
  workspace?: string | null;
  settings?: Partial<PolicySettings>;
  armed?: boolean;
  detail?: Record<string, unknown>;
  /** Milliseconds since the last checkpoint of the workspace. */
  lastAgoMs?: number;
  expect: string[];
}

const rows: Row[] = [
  {
    name: "critical saves, then tells",
    type: "dead_loop",
    expect: ["checkpoint perform", "alert perform"],
  },
  {
    name: "context overflow saves although it is only high",
    type: "context_overflow",
    expect: ["checkpoint perform", "alert perform"],
  },
  { name: "other high only tells", type: "retry_limit", expect: ["alert perform"] },
  { name: "low is only recorded", type: "tool_failure", expect: [] },
  {
    name: "default off: no checkpoint, and none recorded",
    type: "agent_crash",
    settings: { checkpointEnabled: false },
    expect: ["alert perform"],
  },
  {
    name: "no workspace is said, not hidden",
    type: "agent_crash",
    workspace: null,
    expect: ["checkpoint suppressed", "alert perform"],
  },
  {
    name: "debounced within the window",
    type: "retry_storm",
    lastAgoMs: 29_999,
    expect: ["checkpoint suppressed", "alert perform"],
  },
  {
    name: "not debounced at its end",
    type: "retry_storm",
    lastAgoMs: 30_000,
    expect: ["checkpoint perform", "alert perform"],
  },
  {
    name: "dry run performs nothing",
    type: "dead_loop",
    settings: { dryRun: true },
    expect: ["checkpoint dry_run", "alert dry_run"],
  },
  {
    name: "armed for this one although not for all",
    type: "agent_crash",
    settings: { checkpointEnabled: false },
    armed: true,
    expect: ["checkpoint perform", "alert perform"],
  },
  {
    name: "not armed for this one although for all",
    type: "agent_crash",
    armed: false,
    expect: ["alert perform"],
  },
  ...["checkpoint", "freeze"].map((level) => ({
    name: `memory pressure at level ${level} saves although it is only medium`,
    type: "memory_pressure" as const,
    detail: { level },
    expect: ["checkpoint perform", "alert perform"],
  })),
  {
    name: "memory pressure at level watch only tells",
    type: "memory_pressure",
    detail: { level: "watch" },
    expect: ["alert perform"],
  },
  {
    name: "alert floor is a setting",
    type: "retry_limit",
    settings: { alertSeverity: "critical" },
    expect: [],
  },
];

describe("decide", () => {
  for (const row of rows) {
    test(row.name, () => {
      const interruption = {
        type: row.type,
        severity: INTERRUPTION_SEVERITY[row.type],
        workspace: row.workspace === undefined ? "/w" : row.workspace,
        detail: row.detail ?? {},
      } as Interruption;
      const lastCheckpointMs = new Map(
        row.lastAgoMs === undefined ? [] : [["/w", 1_000_000 - row.lastAgoMs]],
      );
      const verdicts = decide(interruption, {
        settings: { ...ON, ...row.settings },
        history: { lastCheckpointMs, nowMs: 1_000_000 },
        ...(row.armed === undefined ? {} : { armed: row.armed }),
      });
      expect(verdicts.map(({ kind, verdict }) => `${kind} ${verdict}`)).toEqual(row.expect);
      expect(verdicts.every(({ reason }) => reason.length > 0)).toBe(true);
    });
  }
});
