// The ways in which a session is tied to an agent, and which of them holds.

/** A session, and since when it is known to be this one. */
export interface Tie {
  sessionId: string;
  /** Milliseconds since the epoch. */
  atMs: number;
}

/** What each way of telling says now; the newest of the proven ones holds, then the weaker ones in this order. */
export interface SessionTies {
  /** `~/.claude/sessions/<pid>.json`: proven by its owner. */
  file: Tie | null;
  /** `CLAUDE_CODE_SESSION_ID` of a child: proven by the process. */
  child: Tie | null;
  /** An event that fits this agent alone: a claim of whoever sent it. */
  event: Tie | null;
  /** `observer run`, or `OBSERVER_SESSION_ID` that it was started with. */
  run: Tie | null;
}

export const NO_TIES: SessionTies = { file: null, child: null, event: null, run: null };

/** The session that holds now. `proven`: no claim of a sender has a part in it. */
export function sessionOf(ties: SessionTies): { sessionId: string; proven: boolean } | null {
  const proven = [ties.file, ties.child].filter((tie) => tie !== null);
  const newest = proven.sort((one, other) => other.atMs - one.atMs)[0];
  if (newest) return { sessionId: newest.sessionId, proven: true };
  if (ties.event) return { sessionId: ties.event.sessionId, proven: false };
  return ties.run && { sessionId: ties.run.sessionId, proven: true };
}

/** A tie keeps its time while it says the same: what changed last is what holds. */
export function retie(before: Tie | null, sessionId: string, atMs: number): Tie {
  return before?.sessionId === sessionId ? before : { sessionId, atMs };
}
