// The bounded queue between whoever reports and the tick. What it refuses is counted in the same breath.

import type { Receipt } from "../core/event.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { PreparedEvent } from "./prepare.ts";

/** One event and the place where its receipt goes. */
export interface InboxEntry {
  prepared: PreparedEvent;
  receipts: Receipt[];
  index: number;
  /** Called once all receipts of its offer are in. */
  settle: () => void;
}

export interface InboxLimits {
  eventsMax: number;
  bytesMax: number;
}

export interface Inbox {
  /** Resolves when each event is committed or refused. */
  offer(batch: PreparedEvent[]): Promise<Receipt[]>;
  /** Takes out up to `max` entries, oldest first. */
  drain(max: number): InboxEntry[];
  size(): number;
  full(): boolean;
}

export function createInbox(
  limits: InboxLimits,
  { metrics, wake }: { metrics: Metrics; wake: () => void },
): Inbox {
  let queue: InboxEntry[] = [];
  let bytes = 0;
  const full = (): boolean => queue.length >= limits.eventsMax || bytes >= limits.bytesMax;
  const gauge = (): void => {
    metrics.set("observer_inbox_events", queue.length);
    metrics.set("observer_inbox_bytes", bytes);
  };

  return {
    offer(batch) {
      if (batch.length === 0) return Promise.resolve([]);
      if (full() || queue.length + batch.length > limits.eventsMax) {
        metrics.add("observer_events_rejected_total", batch.length, { reason: "overloaded" });
        const reason = `the inbox holds ${queue.length} events and takes no more now`;
        return Promise.resolve(
          batch.map((): Receipt => ({ status: "rejected", code: "overloaded", reason })),
        );
      }
      return new Promise((resolve) => {
        const receipts: Receipt[] = [];
        let open = batch.length;
        const settle = (): void => {
          open -= 1;
          if (open === 0) resolve(receipts);
        };
        for (const [index, prepared] of batch.entries()) {
          queue.push({ prepared, receipts, index, settle });
          bytes += prepared.json.length;
        }
        wake();
      });
    },
    drain(max) {
      const taken = queue.length <= max ? queue : queue.slice(0, max);
      queue = queue.length <= max ? [] : queue.slice(max);
      for (const { prepared } of taken) bytes -= prepared.json.length;
      gauge();
      return taken;
    },
    size: () => queue.length,
    full,
  };
}
