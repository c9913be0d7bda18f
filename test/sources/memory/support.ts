// What the tests of the memory source share: a real waiting thread, a pipeline's end that keeps drafts, facts in memory.

import { expect } from "bun:test";
import { systemClock } from "../../../src/core/clock.ts";
import type { Offer } from "../../../src/core/contracts.ts";
import type { EventDraft } from "../../../src/core/event.ts";
import { bootId } from "../../../src/kernel/boot.ts";
import { findCgroupMounts } from "../../../src/kernel/cgroup.ts";
import type { Facts } from "../../../src/store/meta.ts";
import { createMetrics } from "../../../src/telemetry/metrics.ts";
import { createFakeLog } from "../../support/clock.ts";

export const MIB = 1024 * 1024;

/** Keeps drafts, and knows repeats by their id as the store does. */
export function createSink() {
  const drafts: EventDraft[] = [];
  const offer: Offer = (offered) =>
    Promise.resolve(
      offered.map((draft) => {
        const id = draft.id ?? "";
        if (drafts.some((known) => known.id === id)) return { status: "duplicate", id };
        drafts.push(draft);
        return { status: "accepted", id, seq: drafts.length };
      }),
    );
  return { drafts, offer };
}

export function createFacts(): Facts {
  const kept = new Map<string, string | number>();
  return { get: (key) => kept.get(key) ?? null, set: (key, value) => void kept.set(key, value) };
}

export function commonDeps() {
  return {
    mounts: findCgroupMounts(),
    clock: systemClock,
    log: createFakeLog(),
    metrics: createMetrics(),
    boot: bootId().slice(0, 8),
  };
}

export function expectNone(drafts: EventDraft[]): void {
  expect(drafts.map(({ id }) => id)).toEqual([]);
}

/** Takes memory without end, in steps; a shell builtin, so that it is one process. */
export const HOG = `exec ${process.execPath} -e '
const kept = [];
for (;;) kept.push(Buffer.alloc(4 << 20, 1));
'`;
