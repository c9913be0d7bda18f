// From findings to interruptions: one trouble is one row, however often it is found again.

import type { Finding, Interruption } from "../core/interruption.ts";
import { EVIDENCE_MAX, INTERRUPTION_SEVERITY } from "../core/interruption.ts";

/** What a finding did to the open interruptions. `escalated`: the same row became a graver type. */
export interface Change {
  kind: "opened" | "counted" | "escalated" | "merged";
  interruption: Interruption;
}

export interface InterruptionContext {
  host: string;
  /** A trouble that was quiet longer than this is a new one. */
  quietMs: number;
  newId: () => string;
  now: () => number;
  workspaceOf: (cwd: string | undefined) => string | null;
}

/** Open interruptions kept in memory; the quietest is forgotten first (it stays in the store). */
const OPEN_MAX = 10_000;
const SUMMARY_MAX = 500;

/** The interruptions that are still going on, by their trouble; bounded, the longest untouched go first. */
function createOpenSet(quietMs: number) {
  const open = new Map<string, Interruption>();
  return {
    put(it: Interruption): void {
      open.delete(keyOf(it));
      open.set(keyOf(it), it);
      const oldest = open.size > OPEN_MAX ? open.keys().next().value : undefined;
      if (oldest !== undefined) open.delete(oldest);
    },
    /** The interruption of this trouble, unless it was resolved or quiet for too long. */
    at(key: string, atMs: number): Interruption | undefined {
      const it = open.get(key);
      if (!it) return undefined;
      if (it.resolvedMs === null && atMs - it.lastMs <= quietMs) return it;
      open.delete(key);
      return undefined;
    },
    remove: (it: Interruption): void => void open.delete(keyOf(it)),
    byId: (id: string): Interruption | undefined => open.values().find((it) => it.id === id),
    clear: (): void => open.clear(),
  };
}

/** Holds the open interruptions. Mutates them; the caller stores what `apply` returns. */
export function createInterruptions(context: InterruptionContext) {
  const open = createOpenSet(context.quietMs);

  const escalate = (finding: Finding): Change[] => {
    const milder = (finding.supersedes ?? [])
      .map((of) => open.at(keyOf({ ...troubleOf(finding, context.host), ...of }), finding.timeMs))
      .filter((it) => it !== undefined);
    const [first, ...rest] = milder;
    if (!first) return [];
    open.remove(first);
    const from = first.type;
    Object.assign(first, describe(finding), {
      type: finding.type,
      severity: INTERRUPTION_SEVERITY[finding.type],
      fingerprint: finding.fingerprint,
      evidence: merged(first.evidence, finding.evidence),
      detail: { ...finding.detail, escalated_from: from },
    });
    first.lastMs = Math.max(first.lastMs, finding.timeMs);
    open.put(first);
    const merges = rest.map((it): Change => {
      open.remove(it);
      it.resolvedMs = context.now();
      it.detail = { ...it.detail, merged_into: first.id };
      return { kind: "merged", interruption: it };
    });
    return [{ kind: "escalated", interruption: first }, ...merges];
  };

  const count = (it: Interruption, finding: Finding): Change => {
    it.count += 1;
    Object.assign(it, describe(finding));
    const { escalated_from: from } = it.detail;
    it.detail = from === undefined ? finding.detail : { ...finding.detail, escalated_from: from };
    it.evidence = merged(it.evidence, finding.evidence);
    // Events may come late: the trouble began when its earliest one happened.
    it.firstMs = Math.min(it.firstMs, finding.timeMs);
    it.lastMs = Math.max(it.lastMs, finding.timeMs);
    open.put(it);
    return { kind: "counted", interruption: it };
  };

  const create = (finding: Finding): Change => {
    const it = interruptionOf(finding, context);
    open.put(it);
    return { kind: "opened", interruption: it };
  };

  return {
    /** Takes one finding; the changes are to be stored, in this order. */
    apply(finding: Finding): Change[] {
      const again = open.at(keyOf(troubleOf(finding, context.host)), finding.timeMs);
      if (again) return [count(again, finding)];
      const escalated = escalate(finding);
      return escalated.length > 0 ? escalated : [create(finding)];
    },
    /** Forgets everything and takes what the store holds as open. */
    load(stored: Iterable<Interruption>): void {
      open.clear();
      for (const it of stored) open.put(it);
    },
    /** Ends an open interruption; null when it is not among them. */
    resolve(id: string): Interruption | null {
      const it = open.byId(id);
      if (!it) return null;
      open.remove(it);
      it.resolvedMs = context.now();
      return it;
    },
  };
}

function interruptionOf(finding: Finding, context: InterruptionContext): Interruption {
  const host = finding.host ?? context.host;
  return {
    id: context.newId(),
    type: finding.type,
    severity: INTERRUPTION_SEVERITY[finding.type],
    host,
    fingerprint: finding.fingerprint,
    sessionId: finding.sessionId ?? null,
    agent: finding.agent ?? null,
    // A directory of another machine says nothing about those here, not even that the first one is meant.
    workspace: host === context.host ? context.workspaceOf(finding.cwd) : null,
    pid: finding.pid ?? null,
    timeMs: finding.timeMs,
    detectedMs: context.now(),
    summary: finding.summary.slice(0, SUMMARY_MAX),
    detail: finding.detail,
    evidence: merged([], finding.evidence),
    count: 1,
    firstMs: finding.timeMs,
    lastMs: finding.timeMs,
    resolvedMs: null,
  };
}

type Trouble = Pick<Interruption, "type" | "host" | "sessionId" | "fingerprint">;

function troubleOf({ type, host, sessionId, fingerprint }: Finding, ownHost: string): Trouble {
  return { type, host: host ?? ownHost, sessionId: sessionId ?? null, fingerprint };
}

function keyOf({ type, host, sessionId, fingerprint }: Trouble): string {
  return JSON.stringify([type, host, sessionId, fingerprint]);
}

function describe(finding: Finding): Pick<Interruption, "summary"> {
  return { summary: finding.summary.slice(0, SUMMARY_MAX) };
}

/** The first evidence is kept (how it began), then the newest. */
function merged(old: string[], added: string[]): string[] {
  const all = [...new Set([...old, ...added])];
  if (all.length <= EVIDENCE_MAX) return all;
  const half = EVIDENCE_MAX / 2;
  return [...all.slice(0, half), ...all.slice(all.length - half)];
}
