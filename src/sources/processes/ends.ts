// Tells the end of an agent once, and says when it is stored.

import type { ProcessId } from "../../core/agent.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { type Exit, exitEvent } from "./events.ts";
import type { Host } from "./host.ts";
import type { Memory } from "./memory.ts";
import type { Outbox } from "./outbox.ts";
import type { AgentRecord } from "./record.ts";

export interface EndsDeps {
  host: Host;
  memory: Memory;
  outbox: Outbox;
  metrics: Metrics;
  endedByUs(process: ProcessId): boolean;
}

export interface Ends {
  tell(record: AgentRecord, exit: Exit): void;
  /** Resolves when the end of the agent is stored. */
  whenTold(record: AgentRecord): Promise<void>;
}

export function createEnds({ host, memory, outbox, metrics, endedByUs }: EndsDeps): Ends {
  const waiting = new WeakMap<AgentRecord, PromiseWithResolvers<void>>();
  return {
    tell(record, exit) {
      metrics.add("observer_agent_exits_total", 1, { seen_by: exit.seenBy[0] ?? "gone" });
      const facts = { boot: host.boot, exit, endedByUs: endedByUs(record.agent) };
      outbox.tell(exitEvent(record, facts), () => {
        record.isTold = true;
        // Kept until the event is: else a kill of observer in between would lose the end.
        memory.forget({ ...record.agent, boot: host.boot });
        waiting.get(record)?.resolve();
      });
    },
    whenTold(record) {
      const wait = waiting.get(record) ?? Promise.withResolvers<void>();
      waiting.set(record, wait);
      if (record.isTold) wait.resolve();
      return wait.promise;
    },
  };
}
