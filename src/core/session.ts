// The session: one run of one agent, summed up from its events.

import type { Usage } from "./event.ts";

export interface Session {
  id: string;
  host: string;
  agent: string | null;
  workspace: string | null;
  pid: number | null;
  startedMs: number;
  lastMs: number;
  endedMs: number | null;
  endReason: string | null;
  events: number;
  toolCalls: number;
  /** Failed tool results and provider errors. */
  errors: number;
  tokens: Usage;
  costUsd: number;
  /** Model calls whose price is not known; their cost is not in `costUsd`. */
  unpricedCalls: number;
}
