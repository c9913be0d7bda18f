// Rows as the public API shows them: one function per resource, the contract's field names.

import type { Checkpoint } from "../core/checkpoint.ts";
import type { ObserverEvent } from "../core/event.ts";
import type { Interruption } from "../core/interruption.ts";
import type { ReactionRecord } from "../core/reaction.ts";
import type { Session } from "../core/session.ts";
import { isoTime } from "../core/text.ts";

type View = Record<string, unknown>;

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : isoTime(ms);
}

/** The envelope wins over what the sender put into fields of the same name. */
export function eventView(event: ObserverEvent): View {
  const envelope = {
    id: event.id,
    kind: event.kind,
    time: isoTime(event.timeMs),
    received_at: isoTime(event.receivedMs),
    session_id: event.sessionId ?? null,
    agent: event.agent ?? null,
    workspace: event.workspace ?? null,
    pid: event.pid ?? null,
    host: event.host,
    source: event.source,
  };
  return { ...envelope, ...event.data, ...envelope };
}

export function sessionView(session: Session): View {
  return {
    id: session.id,
    host: session.host,
    agent: session.agent,
    workspace: session.workspace,
    pid: session.pid,
    started_at: isoTime(session.startedMs),
    last_at: isoTime(session.lastMs),
    ended_at: isoOrNull(session.endedMs),
    end_reason: session.endReason,
    events: session.events,
    tool_calls: session.toolCalls,
    errors: session.errors,
    tokens: session.tokens,
    cost_usd: session.costUsd,
    unpriced_calls: session.unpricedCalls,
  };
}

export function interruptionView(interruption: Interruption): View {
  return {
    id: interruption.id,
    type: interruption.type,
    severity: interruption.severity,
    host: interruption.host,
    session_id: interruption.sessionId,
    agent: interruption.agent,
    workspace: interruption.workspace,
    pid: interruption.pid,
    time: isoTime(interruption.timeMs),
    detected_ms: interruption.detectedMs - interruption.timeMs,
    summary: interruption.summary,
    detail: interruption.detail,
    evidence: interruption.evidence,
    count: interruption.count,
    first_time: isoTime(interruption.firstMs),
    last_time: isoTime(interruption.lastMs),
    resolved_at: isoOrNull(interruption.resolvedMs),
  };
}

export function reactionView(reaction: ReactionRecord): View {
  return {
    id: reaction.id,
    interruption_id: reaction.interruptionId,
    kind: reaction.kind,
    status: reaction.status,
    reason: reaction.reason,
    host: reaction.host,
    workspace: reaction.workspace,
    session_id: reaction.sessionId,
    started_at: isoTime(reaction.startedMs),
    duration_ms: reaction.durationMs,
    detail: reaction.detail,
  };
}

export function checkpointView(checkpoint: Checkpoint): View {
  return {
    id: checkpoint.id,
    host: checkpoint.host,
    workspace: checkpoint.workspace,
    backend: checkpoint.backend,
    kind: checkpoint.kind,
    reason: checkpoint.reason,
    label: checkpoint.label,
    interruption_id: checkpoint.interruptionId,
    session_id: checkpoint.sessionId,
    agent: checkpoint.agent,
    created_at: isoTime(checkpoint.createdMs),
    duration_ms: checkpoint.durationMs,
    files: checkpoint.files,
    bytes: checkpoint.bytes,
    verified: checkpoint.verified,
    pinned: checkpoint.pinned,
    parent_id: checkpoint.parentId,
    status: checkpoint.status,
    error: checkpoint.error,
    skipped: checkpoint.skipped.map(({ path, path_b64, reason, listedOnly }) => ({
      path,
      ...(path_b64 === undefined ? {} : { path_b64 }),
      reason,
      listed_only: listedOnly,
    })),
    warnings: checkpoint.warnings,
  };
}
