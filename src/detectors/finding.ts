// Builds findings from events: what every detector fills in the same way.

import type { EventData, ObserverEvent } from "../core/event.ts";
import { EVIDENCE_MAX, type Finding, type InterruptionType } from "../core/interruption.ts";
import { clip } from "../core/text.ts";
import { canonical } from "./canonical.ts";

/** Characters of an error that a finding quotes. */
export const ERROR_CHARS_MAX = 500;
/** Characters of a finding's one line. */
const SUMMARY_CHARS_MAX = 300;

export interface FindingParts {
  type: InterruptionType;
  fingerprint: string;
  summary: string;
  detail: Record<string, unknown>;
  /** Oldest first; the newest are kept. */
  evidence: string[];
}

/** The directory that the agent says it works in. */
export function directoryOf(event: ObserverEvent): string | undefined {
  return typeof event.data.cwd === "string" ? event.data.cwd : event.workspace;
}

/** A finding with session, agent, pid, directory and time of the event that completed it. */
export function findingAt(event: ObserverEvent, parts: FindingParts): Finding {
  const cwd = directoryOf(event);
  return {
    type: parts.type,
    fingerprint: parts.fingerprint,
    timeMs: event.timeMs,
    host: event.host,
    summary: clip(parts.summary.replace(/\s+/g, " ").trim(), SUMMARY_CHARS_MAX),
    detail: parts.detail,
    evidence: parts.evidence.slice(-EVIDENCE_MAX),
    ...(event.sessionId === undefined ? {} : { sessionId: event.sessionId }),
    ...(event.agent === undefined ? {} : { agent: event.agent }),
    ...(event.pid === undefined ? {} : { pid: event.pid }),
    ...(cwd === undefined ? {} : { cwd }),
  };
}

/**
 * Text of `data.error`, empty when there is none. Typed as text, but a native sender may put the
 * provider's error object there: then its message, else the whole.
 */
export function errorText(data: EventData): string {
  const error: unknown = data.error;
  if (typeof error === "string") return error;
  if (error === undefined || error === null || error === false) return "";
  if (typeof error === "object" && "message" in error && typeof error.message === "string") {
    return error.message;
  }
  return canonical(error, "readable");
}
