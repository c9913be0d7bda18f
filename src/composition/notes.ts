// What observer found out by itself, on its way into the record: a `note` event like any other.

import type { Offer } from "../core/contracts.ts";
import { type EventData, OBSERVER_SOURCE } from "../core/event.ts";

export interface Notes {
  /** False when it was not stored, also before there is a pipeline. */
  tell(note: { note: string; workspace: string } & EventData): Promise<boolean>;
  /** From now on notes go there. */
  connect(offer: Offer): void;
}

/** Parts that have something to tell are made before the pipeline that takes it. */
export function createNotes(): Notes {
  let offer: Offer | undefined;
  return {
    async tell({ workspace, ...data }) {
      const receipts = await offer?.([
        { kind: "note", source: OBSERVER_SOURCE, workspace, data: { ...data, cwd: workspace } },
      ]);
      return receipts?.[0]?.status === "accepted";
    },
    connect: (to) => void (offer = to),
  };
}
