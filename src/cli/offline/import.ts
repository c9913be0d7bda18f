// `observer import`: files are read and parsed by the caller, so that the daemon opens nothing for anyone.

import type { EventDraft } from "../../core/event.ts";
import { isoTime } from "../../core/text.ts";
import { readDrafts } from "../../sources/import.ts";
import type { Client } from "../client.ts";
import type { ImportReport } from "../local.ts";

/** Drafts sent in one request; far below the daemon's limit of a batch. */
const BATCH_EVENTS = 500;
const BATCH_LENGTH = 4 * 1024 * 1024;

interface Answer {
  accepted: number;
  duplicates: number;
  rejected: { index: number; error: string }[];
}

/** Sends each file's events as history: judged and kept, nothing is done about them. */
export async function importFiles(paths: string[], client: Client): Promise<ImportReport> {
  const report: ImportReport = { files: 0, accepted: 0, duplicates: 0, rejected: [] };
  for (const file of paths) {
    await importFile(file, { client, report });
    report.files += 1;
  }
  return report;
}

async function importFile(
  file: string,
  { client, report }: { client: Client; report: ImportReport },
): Promise<void> {
  let events: object[] = [];
  let origins: number[] = [];
  let length = 0;
  const send = async (): Promise<void> => {
    if (events.length === 0) return;
    const answer = (await client.post("/events", {
      query: { import: "true" },
      body: events,
      patient: true,
    })) as unknown as Answer;
    report.accepted += answer.accepted;
    report.duplicates += answer.duplicates;
    for (const { index, error } of answer.rejected) {
      report.rejected.push({ file, index: origins[index] ?? index, error });
    }
    events = [];
    origins = [];
    length = 0;
  };
  for await (const { drafts, index, error } of readDrafts(file)) {
    if (error !== undefined) report.rejected.push({ file, index, error });
    for (const draft of drafts) {
      events.push(toNative(draft));
      origins.push(index);
      length += JSON.stringify(draft.data).length;
      if (events.length >= BATCH_EVENTS || length >= BATCH_LENGTH) await send();
    }
  }
  await send();
}

/** A draft as a native event of the API. */
function toNative({
  timeMs,
  sessionId,
  data,
  digest: _digest,
  imported: _imported,
  ...envelope
}: EventDraft) {
  return {
    ...data,
    ...envelope,
    ...(timeMs === undefined ? {} : { time: isoTime(timeMs) }),
    ...(sessionId === undefined ? {} : { session_id: sessionId }),
  };
}
