// Model calls of a Claude Code transcript: the vendor repeats a message's usage on each of its lines.

import type { EventData, EventDraft, Usage } from "../../core/event.ts";
import { type Fields, countOf, isFields, present, textOf } from "../fields.ts";
import { priceCall } from "../price.ts";
import { createRecentMap } from "../recent-map.ts";

/** What is known of a message so far, and the line it was last seen on. */
interface HeldCall {
  messageId: string;
  message: Fields;
  draft: EventDraft;
}

export interface UsageCounter {
  /** Takes one assistant record; returns the call that is complete because another message began. */
  assistant(record: { message: Fields; draft: EventDraft; lane: string }): EventDraft[];
  end(): EventDraft[];
}

/** The main conversation and each subagent write their own messages, possibly in turns: one held call for each. */
const LANES_MAX = 64;

/**
 * One `llm_call` per message id, from its last line, or the one with the largest output: the first lines carry
 * a partial count. A message is held until another begins in its lane or the file ends.
 */
export function createUsageCounter(): UsageCounter {
  const held = createRecentMap<HeldCall>(LANES_MAX);
  return {
    assistant: ({ message, draft, lane }) => {
      const messageId = textOf(message["id"]);
      if (messageId === undefined || !isFields(message["usage"])) return [];
      const before = held.get(lane);
      if (before?.messageId === messageId) {
        if (outputOf(message) >= outputOf(before.message))
          Object.assign(before, { message, draft });
        return [];
      }
      const crowdedOut = held.set(lane, { messageId, message, draft });
      return [before, crowdedOut].filter((call) => call !== undefined).map(callOf);
    },
    end: () => held.values().map(callOf),
  };
}

function outputOf(message: Fields): number {
  return isFields(message["usage"]) ? countOf(message["usage"]["output_tokens"]) : 0;
}

function callOf({ messageId, message, draft }: HeldCall): EventDraft {
  const raw = message["usage"] as Fields;
  const writes = cacheWrites(raw);
  const usage: Usage = {
    input: countOf(raw["input_tokens"]),
    output: countOf(raw["output_tokens"]),
    cache_read: countOf(raw["cache_read_input_tokens"]),
    cache_write: writes.total,
  };
  const model = textOf(message["model"]);
  // Gateways put other vendors' models behind the same program; only the name tells.
  const provider = model?.includes("claude") === true ? "anthropic" : undefined;
  const speed = textOf(raw["speed"]);
  // The fast mode has a price of its own that the table does not know: unpriced rather than wrong.
  const priced = model !== undefined && (speed === undefined || speed === "standard");
  const cost = priced
    ? priceCall(
        present({
          model,
          provider,
          usage,
          cacheWrite1h: writes.hour ?? 0,
          timeMs: draft.timeMs ?? 0,
        }),
      )
    : null;
  return {
    ...draft,
    kind: "llm_call",
    id: `msg:${messageId}`,
    data: present<EventData>({
      ...draft.data,
      model,
      provider,
      usage,
      cache_write_5m: writes.minutes,
      cache_write_1h: writes.hour,
      stop_reason: textOf(message["stop_reason"]),
      speed,
      cost_usd: cost ?? undefined,
    }),
  };
}

/** Versions before 2.1.152 gave a flat count of 0 beside a true nested one. */
function cacheWrites(raw: Fields): { total: number; minutes?: number; hour?: number } {
  const flat = countOf(raw["cache_creation_input_tokens"]);
  const nested = raw["cache_creation"];
  if (!isFields(nested)) return { total: flat };
  const minutes = countOf(nested["ephemeral_5m_input_tokens"]);
  const hour = countOf(nested["ephemeral_1h_input_tokens"]);
  return { total: flat || minutes + hour, minutes, hour };
}
