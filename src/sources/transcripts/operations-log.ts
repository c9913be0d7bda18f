// The ops.jsonl of the lakehouse observer: one operation on each line.

import type { FileSource } from "../../core/contracts.ts";
import type { EventDraft } from "../../core/event.ts";
import { kept, timeOf } from "../fields.ts";
import { parseJsonLine, someLine } from "../json-line.ts";
import { createLineIds } from "../line-id.ts";
import { parseOperation } from "../operations.ts";

/**
 * One line of ops.jsonl. The old observer left `source` out for calls that it wrapped itself, so that is `mcp`
 * here, where `POST /event` would say `scenario`. Without a readable timestamp the event takes the time of receipt.
 * @param id from `createLineIds("op")`, so that a second import adds nothing.
 * @throws ObserverError `invalid` when it is no operation.
 */
export function parseOperationLine(text: string, id: string): EventDraft {
  const fields = parseJsonLine(text);
  const draft = parseOperation({ ...fields, source: fields["source"] ?? "mcp" }, () => 0);
  if (timeOf(fields["timestamp"]) !== undefined) return { ...draft, id };
  const { timeMs: _, ...rest } = draft;
  const { timestamp: __, ...data } = rest.data;
  // What cannot be read as a time stays as it came; what was never given is not made up.
  return { ...rest, id, data: { ...data, ...kept({ timestamp: fields["timestamp"] }) } };
}

export const operationsLog: FileSource = {
  name: "operations-log",
  recognises: (lines) =>
    someLine(lines, (line) => "endpoint" in line && "success" in line && !("kind" in line)),
  open: () => {
    const idOf = createLineIds("op");
    return {
      line: (text) => [parseOperationLine(text, idOf(text))],
      end: () => [],
    };
  },
};
