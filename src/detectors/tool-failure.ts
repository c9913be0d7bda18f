// tool_failure: a tool call failed; low, for statistics and learning.

import type { Detector } from "../core/contracts.ts";
import { clip } from "../core/text.ts";
import { type CallTracker, failureText, isFailure, isInterrupted } from "./calls.ts";
import { ERROR_CHARS_MAX, findingAt } from "./finding.ts";
import { hashText } from "./hash.ts";
import { collapseSpace, normaliseText } from "./normalise.ts";

// An error's first line names its class; the rest is the particular case.
const ERROR_CLASS_CHARS_MAX = 200;

function errorClass(text: string): string {
  const firstLine = /[^\s][^\n]{0,400}/.exec(text)?.[0] ?? "";
  return clip(collapseSpace(normaliseText(firstLine).replace(/\d+/g, "N")), ERROR_CLASS_CHARS_MAX);
}

/** Reports each failed result; equal ones (tool and class of error) share a fingerprint. */
export function createToolFailureDetector(tracker: CallTracker): Detector {
  return {
    type: "tool_failure",
    observe(event) {
      const call = tracker.completed(event);
      const { kind, data } = event;
      if (kind !== "tool_result" || !isFailure(data) || isInterrupted(data)) return [];
      const tool = call?.identity.tool ?? (typeof data.tool === "string" ? data.tool : "tool");
      const error = failureText(data);
      const kindOfError = errorClass(error);
      return [
        findingAt(event, {
          type: "tool_failure",
          fingerprint: `tool:${hashText(`${tool}\u0000${kindOfError}`)}`,
          summary: kindOfError === "" ? `${tool} failed` : `${tool} failed: ${kindOfError}`,
          detail: { tool, error: clip(error, ERROR_CHARS_MAX) },
          evidence: [event.id],
        }),
      ];
    },
  };
}
