// From findings to interruptions: one trouble is one row, however often it is found again.

import type { Finding, Interruption } from "../core/interruption.ts";
import { EVIDENCE_MAX, INTERRUPTION_SEVERITY } from "../core/interruption.ts";
import type { WorkspaceFacts } from "./workspaces.ts";

/**
 * What a finding did to the open interruptions. `escalated`: the same row became a graver type, or graver within its
 * type. `proven`: it is better known, and happened no further time.
 */
export interface Change {
  kind: "opened" | "counted" | "proven" | "escalated" | "merged";
  interruption: Interruption;
}

export interface InterruptionContext {
  host: string;
  /** A trouble that was quiet longer than this is a new one. */
  quietMs: number;
  newId: () => string;
  now: () => number;
  workspaceOf: (facts: WorkspaceFacts) => string | null;
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

type OpenSet = ReturnType<typeof createOpenSet>;

/** The ways in which an open interruption takes a further finding. */
function createGrowth(open: OpenSet, context: InterruptionContext) {
  /** The open rows that this finding says are the same trouble. */
  const superseded = (finding: Finding): Interruption[] => {
    const rows = (finding.supersedes ?? [])
      .map((of) => open.at(keyOf({ ...troubleOf(finding, context.host), ...of }), finding.timeMs))
      .filter((it) => it !== undefined);
    return [...new Set(rows)];
  };

  const merge = (into: Interruption, others: Interruption[]): Change[] =>
    others.map((it) => {
      open.remove(it);
      it.resolvedMs = context.now();
      it.detail = { ...it.detail, merged_into: into.id };
      return { kind: "merged", interruption: it };
    });

  const escalate = (finding: Finding): Change[] => {
    const [first, ...rest] = superseded(finding);
    if (!first) return [];
    open.remove(first);
    const isSameType = first.type === finding.type;
    const from = isSameType ? first.detail["escalated_from"] : first.type;
    if (isSameType && !finding.addsProof) first.count += 1;
    Object.assign(first, describe(finding), {
      type: finding.type,
      severity: INTERRUPTION_SEVERITY[finding.type],
      fingerprint: finding.fingerprint,
      evidence: merged(first.evidence, finding.evidence),
      detail: withOrigin(finding.detail, from),
    });
    // Whose it is may be known later than that it is.
    first.sessionId ??= finding.sessionId ?? null;
    first.agent ??= finding.agent ?? null;
    first.lastMs = Math.max(first.lastMs, finding.timeMs);
    open.put(first);
    const kind = finding.addsProof ? "proven" : "escalated";
    return [{ kind, interruption: first }, ...merge(first, rest)];
  };

  const prove = (it: Interruption, finding: Finding): Change[] => {
    Object.assign(it, describe(finding));
    it.detail = withOrigin(finding.detail, it.detail["escalated_from"]);
    it.evidence = merged(it.evidence, finding.evidence);
    it.agent ??= finding.agent ?? null;
    it.pid = finding.pid ?? it.pid;
    open.put(it);
    return [{ kind: "proven", interruption: it }, ...merge(it, superseded(finding))];
  };

  const count = (it: Interruption, finding: Finding): Change => {
    it.count += 1;
    Object.assign(it, describe(finding));
    it.detail = withOrigin(finding.detail, it.detail["escalated_from"]);
    it.evidence = merged(it.evidence, finding.evidence);
    // Events may come late: the trouble began when its earliest one happened.
    it.firstMs = Math.min(it.firstMs, finding.timeMs);
    it.lastMs = Math.max(it.lastMs, finding.timeMs);
    open.put(it);
    return { kind: "counted", interruption: it };
  };

  return { count, escalate, prove };
}

/** Holds the open interruptions. Mutates them; the caller stores what `apply` returns. */
export function createInterruptions(context: InterruptionContext) {
  const open = createOpenSet(context.quietMs);

  const { count, escalate, prove } = createGrowth(open, context);

  const create = (finding: Finding): Change => {
    const it = interruptionOf(finding, context);
    open.put(it);
    return { kind: "opened", interruption: it };
  };

  return {
    /** Takes one finding; the changes are to be stored, in this order. */
    apply(finding: Finding): Change[] {
      const again = open.at(keyOf(troubleOf(finding, context.host)), finding.timeMs);
      if (again) return finding.addsProof ? prove(again, finding) : [count(again, finding)];
      const escalated = escalate(finding);
      if (escalated.length > 0) return escalated;
      // What was resolved meanwhile is not opened again by one more proof of it.
      return finding.addsProof ? [] : [create(finding)];
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
    workspace: host === context.host ? context.workspaceOf(finding) : null,
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

/** A detail that keeps saying what the trouble was before. */
function withOrigin(detail: Record<string, unknown>, from: unknown): Record<string, unknown> {
  return from === undefined ? detail : { ...detail, escalated_from: from };
}

/** The first evidence is kept (how it began), then the newest. */
function merged(old: string[], added: string[]): string[] {
  const all = [...new Set([...old, ...added])];
  if (all.length <= EVIDENCE_MAX) return all;
  const half = EVIDENCE_MAX / 2;
  return [...all.slice(0, half), ...all.slice(all.length - half)];
}
