// How often agents are sorted by their limits when many come and go.

import { expect, test } from "bun:test";
import { createFreezeHolds } from "../../../src/sources/memory/freeze-holds.ts";
import { startPressureWatch } from "../../../src/sources/memory/pressure-watch.ts";
import { agentOf, createFakeRegistry } from "../../support/live-agents.ts";
import { until } from "../../support/cgroups.ts";
import { commonDeps, createSink } from "./support.ts";

test("startPressureWatch: a hundred changes at once are a few looks, and the last is known soon", async () => {
  const common = commonDeps();
  const registry = createFakeRegistry();
  const { list } = registry;
  let looks = 0;
  // As with some hundred agents.
  registry.list = () => {
    looks += 1;
    Bun.sleepSync(3);
    return list();
  };
  const watch = startPressureWatch({
    ...common,
    registry,
    holds: createFreezeHolds({ ...common, registry, capMs: 3_000 }),
    offer: createSink().offer,
    watcher: null,
    freezer: null,
    canSave: () => null,
    watchPercent: 70,
    checkpointPercent: 80,
    freeze: false,
    freezeCapMs: 3_000,
  });
  try {
    const agents = Array.from({ length: 100 }, (_, at) => agentOf(1_000 + at, {}));
    for (const agent of agents) registry.tell("found", agent);
    expect(looks).toBeLessThan(5);
    await until(() => watch.useOf(agents.at(-1)?.id ?? "") !== null);
    expect(looks).toBeLessThan(10);
  } finally {
    watch.stop();
  }
});
