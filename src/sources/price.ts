// What a model call costs at list price, from a price table inside the executable; nothing is fetched.

import { calcPrice } from "@pydantic/genai-prices";

import type { Usage } from "../core/event.ts";

export interface PricedCall {
  model: string;
  /** Vendor's id, e.g. `anthropic`; when the table does not know it, the model's name decides alone. */
  provider?: string;
  usage: Usage;
  /** How many of `usage.cache_write` are kept for an hour, which costs more than five minutes. */
  cacheWrite1h?: number;
  /** When it happened: prices change. */
  timeMs: number;
}

/**
 * US dollars, or null when the model is not in the table or the numbers make no sense to it. Null means
 * unpriced, never free. List price only: discounts, regions and fast modes are not in the table.
 */
export function priceCall(call: PricedCall): number | null {
  const { usage } = call;
  const long = Math.min(call.cacheWrite1h ?? 0, usage.cache_write);
  const tokens: Record<string, number> = {
    // The table wants the total of input; our buckets are disjoint.
    input_tokens: usage.input + usage.cache_read + usage.cache_write,
    output_tokens: usage.output,
    cache_read_tokens: usage.cache_read,
    cache_write_tokens: usage.cache_write,
  };
  if (long > 0) {
    tokens["cache_write_1h_tokens"] = long;
    tokens["cache_write_5m_tokens"] = usage.cache_write - long;
  }
  const timestamp = new Date(call.timeMs);
  const named = call.provider
    ? priceWith(tokens, call.model, { timestamp, providerId: call.provider })
    : null;
  return named ?? priceWith(tokens, call.model, { timestamp });
}

function priceWith(
  tokens: Record<string, number>,
  model: string,
  options: { timestamp: Date; providerId?: string },
): number | null {
  try {
    const price = calcPrice(tokens, model, options)?.total_price;
    return price !== undefined && Number.isFinite(price) && price >= 0 ? price : null;
  } catch {
    // The table throws for counts it holds to be inconsistent: such a call has no known price.
    return null;
  }
}
