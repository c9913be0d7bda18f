// Native events in a file: what `POST /events` takes as NDJSON.

import type { FileSource } from "../../core/contracts.ts";
import { EVENT_KINDS, type EventDraft } from "../../core/event.ts";
import { kept, timeOf } from "../fields.ts";
import { parseJsonLine, someLine } from "../json-line.ts";
import { createLineIds } from "../line-id.ts";
import { parseNative } from "../native.ts";

const KINDS: readonly unknown[] = EVENT_KINDS;

/** Lines without an id get one from their text, so that importing a file again adds nothing. */
export const nativeEvents: FileSource = {
  name: "native-events",
  recognises: (lines) => someLine(lines, (line) => KINDS.includes(line["kind"])),
  open: () => {
    const idOf = createLineIds("line");
    return { line: (text) => [nativeDraft(text, idOf(text))], end: () => [] };
  },
};

function nativeDraft(text: string, id: string): EventDraft {
  const fields = parseJsonLine(text);
  // Without a time of its own an event takes the time of receipt; 0 only dates the price meanwhile.
  const { timeMs, ...draft } = parseNative(fields, () => 0);
  if (draft.kind !== "operation")
    return { id, ...draft, ...(timeMs === undefined ? {} : { timeMs }) };
  const known = fields["time"] ?? timeOf(fields["timestamp"]);
  if (known !== undefined && timeMs !== undefined) return { id, ...draft, timeMs };
  const { timestamp: _, ...data } = draft.data;
  return { id, ...draft, data: { ...data, ...kept({ timestamp: fields["timestamp"] }) } };
}
