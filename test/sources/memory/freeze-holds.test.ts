// Freezes end: by the checkpoint that held them, because none did, or by the cap.

import { expect, test } from "bun:test";
import type { Freeze } from "../../../src/core/agent.ts";
import type { Interruption } from "../../../src/core/interruption.ts";
import { createFreezeHolds } from "../../../src/sources/memory/freeze-holds.ts";
import { createMetrics } from "../../../src/telemetry/metrics.ts";
import { agentOf, createFakeRegistry } from "../../support/live-agents.ts";

function rig(capMs = 10_000) {
  const agent = agentOf(7, {});
  const metrics = createMetrics();
  const holds = createFreezeHolds({ registry: createFakeRegistry(agent), metrics, capMs });
  const thawed: string[] = [];
  const freezeOf = (id: string): Freeze => ({
    id,
    agent,
    method: "freezer",
    sinceMs: 0,
    thaw() {
      if (!thawed.includes(id)) thawed.push(id);
      return 40;
    },
  });
  const outcome = (name: string): number =>
    metrics.get("observer_memory_freezes_total", { outcome: name });
  return { holds, thawed, freezeOf, outcome };
}

function pressure(freezeId: string | null, fields: Partial<Interruption> = {}): Interruption {
  const detail = { level: "freeze", freeze_id: freezeId };
  return { type: "memory_pressure", pid: 7, detail, ...fields } as Interruption;
}

test("hold keeps a freeze beyond its event, and releases it once", async () => {
  const { holds, thawed, freezeOf, outcome } = rig();
  const told = Promise.withResolvers<void>();
  holds.take(freezeOf("f1"), told.promise);
  const release = holds.hold(pressure("f1"));
  expect(holds.isSaving("7-1")).toBe(true);
  told.resolve();
  await Bun.sleep(0);
  expect(thawed).toEqual([]);
  expect(release?.()).toEqual({ frozenMs: 40, method: "freezer" });
  expect(release?.()).toEqual({ frozenMs: 40, method: "freezer" });
  expect([thawed, outcome("saved"), holds.isSaving("7-1")]).toEqual([["f1"], 1, false]);
});

test("a freeze that nobody holds when its event was taken in ends at once, however that went", async () => {
  const { holds, thawed, freezeOf, outcome } = rig();
  holds.take(freezeOf("f1"), Promise.resolve());
  holds.take(freezeOf("f2"), Promise.reject(new Error("store")));
  await Bun.sleep(0);
  expect([thawed, outcome("unclaimed")]).toEqual([["f1", "f2"], 2]);
  expect(holds.hold(pressure("f1"))?.()).toBeNull();
});

test("a freeze ends by the cap although it is held", async () => {
  const { holds, thawed, freezeOf, outcome } = rig(20);
  holds.take(freezeOf("f1"), Promise.resolve());
  const release = holds.hold(pressure("f1"));
  await Bun.sleep(60);
  expect([thawed, outcome("capped")]).toEqual([["f1"], 1]);
  expect(release?.()).toEqual({ frozenMs: 40, method: "freezer" });
});

test("a freeze during a checkpoint that began before it is held by that one", async () => {
  const { holds, thawed, freezeOf } = rig();
  const release = holds.hold(pressure(null));
  holds.take(freezeOf("f1"), Promise.resolve());
  await Bun.sleep(0);
  expect(thawed).toEqual([]);
  expect(release?.()).toEqual({ frozenMs: 40, method: "freezer" });
  expect(thawed).toEqual(["f1"]);
});

test("hold is nothing for other trouble and other processes", () => {
  const { holds } = rig();
  expect(holds.hold(pressure(null, { type: "dead_loop" }))).toBeNull();
  expect(holds.hold(pressure(null, { pid: 8 }))).toBeNull();
  expect(holds.hold(pressure("unknown", { pid: null }))).toBeNull();
});

test("stop lets everyone go on", () => {
  const { holds, thawed, freezeOf } = rig();
  holds.take(freezeOf("f1"), new Promise(() => undefined));
  holds.stop();
  expect(thawed).toEqual(["f1"]);
});
