// How a caller may name an agent: its id, or its pid, session, run or kind where only one has it.

import type { Agent, AgentRegistry } from "../core/agent.ts";
import { ObserverError } from "../core/errors.ts";

const AGENT_ID = /^(\d{1,10})-(\d{1,20})$/;
/** Longer names are cut in messages. */
const SHOWN_MAX = 200;

/**
 * The one live agent that `name` means. Throws `not_found`; `vanished` where the id is of an agent whose pid
 * another one has now; `ambiguous` with the candidates.
 */
export function resolveAgent(agents: Pick<AgentRegistry, "list" | "get">, name: string): Agent {
  const exact = agents.get(name);
  if (exact) return exact;
  const live = agents.list();
  const shown = name.slice(0, SHOWN_MAX);
  const [, pid] = AGENT_ID.exec(name) ?? [];
  if (pid !== undefined && live.some((agent) => String(agent.pid) === pid)) {
    throw new ObserverError(
      "vanished",
      `Agent ${shown} is gone: process ${pid} is another one now`,
    );
  }
  // The narrowest meaning first: a pid is one process, a kind may be many.
  for (const meaning of [
    (agent: Agent) => String(agent.pid),
    (agent: Agent) => agent.sessionId,
    (agent: Agent) => agent.runId,
    (agent: Agent) => agent.kind,
  ]) {
    const candidates = live.filter((agent) => meaning(agent) === name);
    const [only] = candidates;
    if (only && candidates.length === 1) return only;
    if (only) {
      throw new ObserverError("ambiguous", `More than one agent is "${shown}"`, {
        detail: { candidates: candidates.map(({ id }) => id) },
      });
    }
  }
  throw new ObserverError("not_found", `There is no agent "${shown}"`);
}
