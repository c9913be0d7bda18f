// Prices: list prices of known models, and nothing invented for others.

import { describe, expect, test } from "bun:test";

import * as fc from "fast-check";

import { priceCall } from "../../src/sources/price.ts";
import { NOW } from "./support.ts";

const usage = { input: 4, output: 1_500, cache_read: 120_000, cache_write: 3_000 };

describe("priceCall", () => {
  test("prices disjoint buckets, each at its own rate", () => {
    const cost = priceCall({
      model: "claude-sonnet-4-6",
      provider: "anthropic",
      usage,
      timeMs: NOW,
    });
    expect(cost).toBeCloseTo((4 * 3 + 1_500 * 15 + 120_000 * 0.3 + 3_000 * 3.75) / 1e6, 9);
  });

  test("prices cache writes for an hour higher", () => {
    const call = { model: "claude-sonnet-4-6", usage, cacheWrite1h: 1_000, timeMs: NOW };
    expect(priceCall(call)).toBeCloseTo(0.069762 + (1_000 * 2.25) / 1e6, 9);
  });

  test("goes by the model alone when the provider is unknown", () => {
    const call = { model: "claude-sonnet-4-6", usage, timeMs: NOW };
    expect(priceCall({ ...call, provider: "our-gateway" })).toBe(priceCall(call));
  });

  test("is null for an unknown model, never 0", () => {
    expect(priceCall({ model: "nobody-knows-this", usage, timeMs: NOW })).toBeNull();
    expect(priceCall({ model: "", usage, timeMs: NOW })).toBeNull();
  });

  test("never throws and is never negative", () => {
    const count = fc.nat(Number.MAX_SAFE_INTEGER);
    const usages = fc.record({
      input: count,
      output: count,
      cache_read: count,
      cache_write: count,
    });
    fc.assert(
      fc.property(
        usages,
        count,
        fc.constantFrom("gpt-5.2", "gemini-3-pro", "claude-opus-5", "?"),
        (usage, cacheWrite1h, model) => {
          expect(
            priceCall({ model, usage, cacheWrite1h, timeMs: NOW }) ?? 0,
          ).toBeGreaterThanOrEqual(0);
        },
      ),
    );
  });
});
