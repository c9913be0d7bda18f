// Remembers who a session is and where it works: often only its first event says so.

import type { ObserverEvent } from "../core/event.ts";
import type { Finding } from "../core/interruption.ts";
import type { Session } from "../core/session.ts";

/** Sessions remembered, some 200 bytes each; the one that was quiet for longest is forgotten first. */
const SESSIONS_MAX = 10_000;
/** Kinds that also speak of processes other than the agent's own. */
const OF_ANY_PROCESS = new Set(["process_start", "process_exit", "oom_kill", "error"]);

type Facts = Pick<Finding, "agent" | "pid" | "cwd">;

/** The session as it is stored; null when it is not. */
export type SessionLookup = (id: string) => Session | null;

/**
 * Facts of sessions as their events claim them, the newest of each. What the events seen so far do not say is
 * looked up: after a restart only the recent ones are seen again, and a session names itself at its start.
 */
export function createSessionFacts(lookup: SessionLookup) {
  const known = new Map<string, Facts>();
  return {
    note(event: ObserverEvent): void {
      if (event.sessionId === undefined) return;
      const key = keyOf(event.host, event.sessionId);
      const { agent, pid, data, workspace } = event;
      const cwd = typeof data.cwd === "string" ? data.cwd : workspace;
      const facts = known.get(key) ?? {};
      if (agent !== undefined) facts.agent = agent;
      if (cwd !== undefined) facts.cwd = cwd;
      if (pid !== undefined && !OF_ANY_PROCESS.has(event.kind)) facts.pid = pid;
      // Put in again at the end, so that the map's order is the order of use.
      known.delete(key);
      known.set(key, facts);
      const oldest = known.size > SESSIONS_MAX ? known.keys().next().value : undefined;
      if (oldest !== undefined) known.delete(oldest);
    },
    /** The finding with what it does not say itself. */
    complete(finding: Finding, { host }: ObserverEvent): Finding {
      const id = finding.sessionId;
      if (id === undefined) return finding;
      const facts = { ...known.get(keyOf(host, id)), ...finding };
      const isFull =
        facts.agent !== undefined && facts.pid !== undefined && facts.cwd !== undefined;
      return isFull ? facts : { ...storedFacts(lookup(id), host), ...facts };
    },
  };
}

function storedFacts(session: Session | null, host: string): Facts {
  if (session?.host !== host) return {};
  const { agent, pid, workspace } = session;
  return {
    ...(agent !== null && { agent }),
    ...(pid !== null && { pid }),
    // May be the session's own claim; like every `cwd` it is only compared.
    ...(workspace !== null && { cwd: workspace }),
  };
}

function keyOf(host: string, sessionId: string): string {
  return `${host}\u0000${sessionId}`;
}
