// What was tried and what runs, told as one list.

import { expect, test } from "bun:test";
import { withRunning } from "../../src/composition/capabilities.ts";
import type { Capability } from "../../src/core/agent.ts";

const named = (name: string, state: Capability["state"], reason: string): Capability => ({
  name,
  state,
  purpose: "",
  reason,
});

test("withRunning tells each feature once, with the trouble of what runs", () => {
  const tried = [named("pidfd", "ok", "works"), named("feed", "ok", "was told")];
  const well = [named("feed", "ok", ""), named("guardian", "ok", "runs")];
  expect(withRunning(tried, well).map(({ name, reason }) => [name, reason])).toEqual([
    ["pidfd", "works"],
    ["feed", "was told"],
    ["guardian", "runs"],
  ]);
  const lost = named("feed", "missing", "it was lost");
  expect(withRunning(tried, [lost])).toEqual([tried[0] as Capability, lost]);
});
