// protection_lost: a configured workspace can no longer be saved. observer's own look finds it; this makes a trouble of it.

import type { Detector } from "../core/contracts.ts";
import { OBSERVER_SOURCE } from "../core/event.ts";
import { clip } from "../core/text.ts";
import { ERROR_CHARS_MAX, findingAt } from "./finding.ts";

/** One note is one trouble: it is sent once for each loss, and observer resolves it when the protection is back. */
export function createProtectionLostDetector(): Detector {
  return {
    type: "protection_lost",
    observe(event) {
      const { kind, source, data, workspace } = event;
      if (kind !== "note" || source !== OBSERVER_SOURCE || data.note !== "protection_lost")
        return [];
      if (workspace === undefined) return [];
      const reason = clip(typeof data.reason === "string" ? data.reason : "", ERROR_CHARS_MAX);
      return [
        findingAt(event, {
          type: "protection_lost",
          fingerprint: `protection:${workspace}`,
          summary: `${workspace} can no longer be checkpointed: ${reason}`,
          detail: { workspace, reason },
          evidence: [event.id],
        }),
      ];
    },
  };
}
