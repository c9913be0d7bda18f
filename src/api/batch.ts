// A body of many events: told apart, parsed one by one, offered in slices.

import { messageOf, ObserverError } from "../core/errors.ts";
import type { EventDraft } from "../core/event.ts";
import type { ApiDeps } from "./deps.ts";
import { checkDepth, parseDeepJson, parseJson } from "./json.ts";
import { asReported } from "../sources/native.ts";
import { isOurTrouble, rejectionError } from "./pressure.ts";
import type { HttpError } from "./problem.ts";

/** Events parsed and offered in one go: some 4 ms of work, then other requests (hooks first of all) get their turn. */
export const SLICE_EVENTS_MAX = 500;
/** Rejections listed in one answer; the rest is only counted, so that a hostile body has a small answer. */
export const REJECTED_LISTED_MAX = 10_000;

interface BatchDeps extends ApiDeps {
  /** The events are history, see `EventDraft`. */
  imported?: boolean;
  /** Waits until this slice may be worked on. */
  turn: () => Promise<void>;
  /** Whether the sender is believed what observer else hears from the kernel or says itself; asked only where it matters. */
  mayTellForKernel: () => boolean;
}

/**
 * Lets one slice of all bodies go in each pass of the event loop, so that however many batches come at once, a
 * hook waits for one slice and not for one of each.
 */
export function createTurns(): () => Promise<void> {
  let last = Promise.resolve();
  return () => (last = last.then(() => new Promise((resolve) => setImmediate(resolve))));
}

interface Batch {
  length: number;
  /** The value at a position; throws `ObserverError` `invalid` where the line is no JSON. */
  at(index: number): unknown;
}

export interface BatchAnswer {
  accepted: number;
  duplicates: number;
  /** Positions count from 0 among the events of the body: items of the array, or lines that are not blank. */
  rejected: { index: number; error: string }[];
  /** More than `rejected.length` when the list was cut. */
  rejected_total: number;
}

/**
 * Tells a JSON array, one JSON object and NDJSON apart by content; throws `invalid` for a broken array, and for a body
 * in which no line is a JSON object: it is something else than events, and nothing of it could be kept.
 */
export function openBatch(text: string, depthMax: number): Batch {
  if (text.trim() === "") throw new ObserverError("invalid", "Cannot read body: it is empty");
  if (/^\s*\[/.test(text)) {
    const items = parseDeepJson(text) as unknown[];
    return { length: items.length, at: (index) => shallow(items[index], depthMax) };
  }
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const whole = lines.length > 1 && !isJson(lines[0] ?? "") ? parseWhole(text) : undefined;
  if (whole !== undefined) {
    return { length: 1, at: () => shallow(whole, depthMax) };
  }
  if (!lines.some((line) => isObject(parseWhole(line)))) {
    throw new ObserverError(
      "invalid",
      "Cannot read body: it must be a JSON array, a JSON object, or one JSON object a line",
    );
  }
  return { length: lines.length, at: (index) => parseJson(lines[index] ?? "", depthMax) };
}

function shallow(value: unknown, depthMax: number): unknown {
  checkDepth(value, depthMax);
  return value;
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isJson(text: string): boolean {
  return parseWhole(text) !== undefined;
}

/** One object written over several lines; undefined when the text is not that. */
function parseWhole(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Offers every event of a body. Throws only when nothing could be kept for a trouble of ours. */
export async function takeBatch(batch: Batch, deps: BatchDeps): Promise<BatchAnswer> {
  const answer: BatchAnswer = { accepted: 0, duplicates: 0, rejected: [], rejected_total: 0 };
  for (let start = 0; start < batch.length; start += SLICE_EVENTS_MAX) {
    const end = Math.min(start + SLICE_EVENTS_MAX, batch.length);
    await deps.turn();
    const slice = parseSlice(batch, { start, end, deps, answer });
    const ours = await offerSlice(slice, { deps, answer });
    if (ours && answer.accepted + answer.duplicates === 0) throw ours;
    if (!ours) continue;
    // Nothing more will be kept now; the sender may send the whole body again, ids make that safe.
    for (let index = end; index < batch.length; index += 1)
      reject(answer, { index, error: ours.message });
    break;
  }
  return answer;
}

type Slice = { index: number; draft: EventDraft }[];

function parseSlice(
  batch: Batch,
  {
    start,
    end,
    deps,
    answer,
  }: { start: number; end: number; deps: BatchDeps; answer: BatchAnswer },
): Slice {
  const slice: Slice = [];
  const now = (): number => deps.clock.now();
  let isTrusted: boolean | undefined;
  for (let index = start; index < end; index += 1) {
    try {
      const parsed = deps.parseNative(batch.at(index), now);
      const reported = asReported(parsed);
      const draft =
        reported === parsed || (isTrusted ??= deps.mayTellForKernel()) ? parsed : reported;
      slice.push({ index, draft: deps.imported ? asHistory(draft) : draft });
    } catch (thrown) {
      // A bug in the parser must not cost the other events either; it is logged, the sender sees it as ours.
      if (!(thrown instanceof ObserverError)) {
        deps.log.error("event parser failed", { error: messageOf(thrown) });
      }
      reject(answer, { index, error: messageOf(thrown) });
      deps.metrics.add("observer_events_rejected_total", 1, { reason: "invalid" });
    }
  }
  return slice;
}

/** The same fact may have come live with other detail, so bodies of a used id are not compared. */
function asHistory({ digest: _digest, ...draft }: EventDraft): EventDraft {
  return { ...draft, imported: true };
}

/** Counts what became of a slice; the answer is an error when storage or load refused part of it. */
async function offerSlice(
  slice: Slice,
  { deps, answer }: { deps: ApiDeps; answer: BatchAnswer },
): Promise<HttpError | null> {
  const receipts = slice.length === 0 ? [] : await deps.offer(slice.map(({ draft }) => draft));
  if (receipts.length !== slice.length) throw new Error("offer answered with too few receipts");
  const ours: HttpError[] = [];
  receipts.forEach((receipt, at) => {
    if (receipt.status === "accepted") answer.accepted += 1;
    else if (receipt.status === "duplicate") answer.duplicates += 1;
    else reject(answer, { index: slice[at]?.index ?? 0, error: receipt.reason });
    if (isOurTrouble(receipt)) ours.push(rejectionError(receipt));
  });
  return ours[0] ?? null;
}

function reject(answer: BatchAnswer, rejection: BatchAnswer["rejected"][number]): void {
  answer.rejected_total += 1;
  if (answer.rejected.length < REJECTED_LISTED_MAX) answer.rejected.push(rejection);
}
