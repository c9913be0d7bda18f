// tool_failure: a tool call failed; low, for statistics and learning.

import type { Detector } from "../core/contracts.ts";
import { clip } from "../core/text.ts";
import { type CallTracker, failureText, isFailure, isInterrupted } from "./calls.ts";
import { ERROR_CHARS_MAX, findingAt } from "./finding.ts";
import { hashText } from "./hash.ts";
import { collapseSpace, normaliseText } from "./normalise.ts";

// One line names what went wrong; the rest is the particular case.
const ERROR_LINE_CHARS_MAX = 200;
/** Lines that are looked at: what went wrong stands at the top. */
const LINES_MAX = 20;

/** The first line that says something: not the exit code alone, nor a rule drawn with signs. */
function tellingLine(text: string): string {
  const lines = text
    .split("\n", LINES_MAX)
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const telling = lines.find((line) => /[\p{L}]/u.test(line) && !/^exit code:? -?\d+$/i.test(line));
  return clip(collapseSpace(telling ?? lines[0] ?? ""), ERROR_LINE_CHARS_MAX);
}

/** The same for equal errors: without the numbers, times and paths of one case. */
function errorClass(line: string): string {
  return normaliseText(line).replace(/\d+/g, "N");
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
      const line = tellingLine(error);
      return [
        findingAt(event, {
          type: "tool_failure",
          fingerprint: `tool:${hashText(`${tool}\u0000${errorClass(line)}`)}`,
          summary: line === "" ? `${tool} failed` : `${tool} failed: ${line}`,
          detail: { tool, error: clip(error, ERROR_CHARS_MAX) },
          evidence: [event.id],
        }),
      ];
    },
  };
}
