// The event: the one shape that everything an agent did, and everything that befell it, takes.

/** Every kind of event that observer keeps; the contract's list, in its order. */
export const EVENT_KINDS = [
  "session_start",
  "session_end",
  "prompt",
  "tool_call",
  "tool_result",
  "llm_call",
  "operation",
  "error",
  "file_access",
  "process_start",
  "process_exit",
  "oom_kill",
  "memory_pressure",
  "note",
] as const;

export type EventKind = (typeof EVENT_KINDS)[number];

/** Source of what observer found out by itself. */
export const OBSERVER_SOURCE = "observer";

/** Token counts of one model call. The buckets are disjoint: `input` excludes both cache buckets. */
export interface Usage {
  input: number;
  output: number;
  cache_read: number;
  cache_write: number;
}

/**
 * What the event says, in the field names of the public API (snake_case), so that it is stored and
 * shown without translation. Only fields that code reads are typed; unknown ones are kept as they came.
 */
export interface EventData {
  // tool_call, tool_result
  tool?: string;
  call_id?: string;
  input?: unknown;
  ok?: boolean;
  output?: unknown;
  /** Text of what went wrong; sources turn structured vendor errors into text plus `error_type`. */
  error?: string;
  /** The vendor's own structured name of an error, e.g. `rate_limit_error`. */
  error_type?: string;
  duration_ms?: number;
  // llm_call
  model?: string;
  provider?: string;
  usage?: Usage;
  stop_reason?: string;
  /** HTTP status of a provider's answer. */
  status?: number;
  /** Price of the call; absent where the model's price is not known. */
  cost_usd?: number;
  // prompt, note
  prompt?: string;
  /** What a `note` is about; `turn_end` closes the agent's turn. */
  note?: string;
  // session_start, session_end, process_exit
  reason?: string;
  exit_code?: number;
  /** Signal name with or without `SIG`. */
  signal?: string;
  core_dumped?: boolean;
  /** Whether the process died while work was under way; absent when the reporter cannot know. */
  in_flight?: boolean;
  /** Working directory at the time of the event: a claim of the sender. */
  cwd?: string;
  /** Subagent within the session, where the vendor names it. */
  agent_id?: string;
  // operation
  endpoint?: string;
  success?: boolean;
  input_summary?: string;
  output_summary?: string;
  staffer_id?: string;
  event_kind?: string;
  role?: string;
  [field: string]: unknown;
}

/** What a source hands in: everything is as the sender claims it, nothing is stamped yet. */
export interface EventDraft {
  kind: EventKind;
  /** The tool or channel that reported it, e.g. `claude-code`, `scenario`. */
  source: string;
  /** Sender's id, or the natural key of the fact; unique within `source`. */
  id?: string;
  /** Milliseconds since the epoch; receipt time when absent. */
  timeMs?: number;
  sessionId?: string;
  agent?: string;
  workspace?: string;
  pid?: number;
  host?: string;
  data: EventData;
  /**
   * Hash of the submitted body, for native events only: a used id with another digest is a conflict.
   * Absent for natural keys, where the same fact may come by two ways with different detail.
   */
  digest?: number;
  /** History that is taken in later: it is stored and judged, but nothing is done about it. */
  imported?: boolean;
}

/** A draft that was accepted: validated, redacted, stamped and numbered. */
export interface ObserverEvent {
  /** Position in the store; strictly increasing. */
  seq: number;
  id: string;
  kind: EventKind;
  source: string;
  timeMs: number;
  /** When observer took it in, by its own clock. */
  receivedMs: number;
  host: string;
  sessionId?: string;
  agent?: string;
  workspace?: string;
  pid?: number;
  data: EventData;
}

/** What became of one draft. */
export type Receipt =
  | { status: "accepted"; id: string; seq: number }
  | { status: "duplicate"; id: string }
  | { status: "rejected"; code: "conflict" | "overloaded" | "storage"; reason: string };
