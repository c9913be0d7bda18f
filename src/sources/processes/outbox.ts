// Hands the events of processes over until they are stored: nobody else will tell of them again.

import type { Offer } from "../../core/contracts.ts";
import type { EventDraft } from "../../core/event.ts";
import type { Log } from "../../telemetry/log.ts";

/** A full inbox empties within a second; a full disk may take longer than anybody waits. */
const PAUSES_MS = [200, 1_000, 5_000, 30_000];

export interface Outbox {
  /** `then` runs when it is stored; not when it was given up, so that a restart tells of it again. */
  tell(draft: EventDraft, then?: () => void): void;
  /** Gives up what is refused from here on. */
  stop(): void;
}

export function createOutbox({ offer, log }: { offer: Offer; log: Log }): Outbox {
  let stopped = false;
  async function tell(draft: EventDraft, then?: () => void): Promise<void> {
    for (const pauseMs of [...PAUSES_MS, null]) {
      const [receipt] = await offer([draft]);
      if (receipt?.status !== "rejected" || receipt.code === "conflict") break;
      if (pauseMs === null || stopped) {
        log.error("a process event could not be stored", { id: draft.id, reason: receipt.reason });
        return;
      }
      await Bun.sleep(pauseMs);
    }
    then?.();
  }
  return { tell: (draft, then) => void tell(draft, then), stop: () => void (stopped = true) };
}
