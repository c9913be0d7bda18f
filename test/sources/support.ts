// What the tests of sources share.

import { join } from "node:path";

import * as fc from "fast-check";

import { EVENT_KINDS, type EventDraft } from "../../src/core/event.ts";
import { ObserverError } from "../../src/core/errors.ts";
import { readDrafts } from "../../src/sources/import.ts";

export const NOW = Date.UTC(2026, 10, 21, 8);
export const now = (): number => NOW;
export const SESSIONS = join(import.meta.dir, "../fixtures/sessions");

/** Everything a file gives: drafts and the problems of its lines. */
export async function importAll(path: string): Promise<{ drafts: EventDraft[]; errors: string[] }> {
  const drafts: EventDraft[] = [];
  const errors: string[] = [];
  for await (const line of readDrafts(path)) {
    drafts.push(...line.drafts);
    if (line.error !== undefined) errors.push(line.error);
  }
  return { drafts, errors };
}

export function countBy(drafts: EventDraft[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind } of drafts) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/** Any JSON, with the field names that a parser looks at among its keys. */
export function jsonWith(names: string[], values: unknown[] = []): fc.Arbitrary<unknown> {
  const leaf = fc.oneof(
    fc.constantFrom<unknown>(...names, ...values),
    fc.string({ unit: "binary" }),
    fc.double(),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
  );
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3, depthSize: "small" },
      leaf,
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.string()), tie("value"), { maxKeys: 6 }),
    ),
  }));
  const top = fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 10 });
  // As it would come in: through JSON, so that NaN is null and "__proto__" is a field.
  return fc.oneof(value, top).map((any) => JSON.parse(JSON.stringify(any) ?? "null") as unknown);
}

/** What every draft promises, whatever was parsed. */
export function checkDraft(draft: EventDraft): void {
  if (!EVENT_KINDS.includes(draft.kind)) throw new Error(`kind ${draft.kind}`);
  if (draft.source === "") throw new Error("no source");
  for (const [name, value] of Object.entries(draft)) {
    if (value === undefined) throw new Error(`${name} is undefined`);
  }
  for (const text of [draft.id, draft.sessionId, draft.agent]) {
    if (text === undefined) continue;
    if (text === "" || text.length > 256 || !text.isWellFormed()) throw new Error(`bad id ${text}`);
  }
  if (draft.timeMs !== undefined && !Number.isSafeInteger(draft.timeMs)) {
    throw new Error(`time ${draft.timeMs}`);
  }
  const { kind, data } = draft;
  const text = (name: string): void => {
    if (data[name] !== undefined && typeof data[name] !== "string") throw new Error(name);
  };
  text("cwd");
  text("agent_id");
  if (kind === "tool_call" || kind === "tool_result") ["tool", "call_id"].forEach(text);
  if (kind === "tool_result" || kind === "llm_call" || kind === "error") text("error");
  if (kind === "llm_call") text("model");
  if (kind === "tool_result" && data.ok !== undefined && typeof data.ok !== "boolean") {
    throw new Error("ok");
  }
  if (kind === "llm_call" && data.status !== undefined && typeof data.status !== "number") {
    throw new Error("status");
  }
  if (!JSON.stringify(draft.data).isWellFormed()) throw new Error("not well-formed");
}

/** Runs a parser; a refusal is fine where the parser may refuse, anything else thrown is not. */
export function draftsOrRefusal(parse: () => EventDraft[]): EventDraft[] {
  try {
    return parse();
  } catch (thrown) {
    if (thrown instanceof ObserverError && thrown.code === "invalid") return [];
    throw thrown;
  }
}
