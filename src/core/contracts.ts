// The contracts of plug-ins and of the pipeline's ends, on one page. Read this to extend observer.

import type { EventDraft, ObserverEvent, Receipt } from "./event.ts";
import type { Finding, InterruptionType } from "./interruption.ts";

/**
 * Recognises one condition. Pure: it knows only the events it was shown, in order, and keeps bounded state.
 * It is rebuilt after a restart by showing it the recent past again.
 */
export interface Detector {
  readonly type: InterruptionType;
  /** Findings that this event completes; an empty list nearly always. */
  observe(event: ObserverEvent): Finding[];
}

/** Parses a foreign file format into drafts, line by line, without keeping the file in memory. */
export interface FileSource {
  readonly name: string;
  /** True when the first lines look like this format. */
  recognises(firstLines: string[], path: string): boolean;
  /** A parser with its own state (sessions seen, usage counted). A bad line becomes a problem, not a throw. */
  open(path: string): { line(text: string, index: number): EventDraft[]; end(): EventDraft[] };
}

/** Turns one hook body into drafts. A body that is no object, or without a session, yields none. */
export type HookParser = (body: unknown) => EventDraft[];

/** The way in: resolves when every accepted draft is committed. Never rejects; trouble is in the receipts. */
export type Offer = (drafts: EventDraft[]) => Promise<Receipt[]>;
