// protection_lost: what observer's own note makes of itself, and what others' notes do not.

import { expect, test } from "bun:test";
import { OBSERVER_SOURCE } from "../../src/core/event.ts";
import { createProtectionLostDetector } from "../../src/detectors/protection-lost.ts";
import { event } from "../support/detector-scenario.ts";

const own = { source: OBSERVER_SOURCE, workspace: "/srv/app", id: "n1", timeMs: 5 };
const lost = { note: "protection_lost", reason: "it is gone", cwd: "/srv/app" };

test("observer's note of a loss is one finding with the workspace and the reason", () => {
  expect(createProtectionLostDetector().observe(event("note", lost, own))).toMatchObject([
    {
      type: "protection_lost",
      fingerprint: "protection:/srv/app",
      timeMs: 5,
      cwd: "/srv/app",
      summary: "/srv/app can no longer be checkpointed: it is gone",
      detail: { workspace: "/srv/app", reason: "it is gone" },
      evidence: ["n1"],
    },
  ]);
});

test("the note of the return, notes of others, other kinds and notes without workspace are none", () => {
  const { observe } = createProtectionLostDetector();
  const { workspace: _, ...nowhere } = own;
  for (const silent of [
    event("note", { ...lost, note: "protection_back" }, own),
    event("note", lost, { ...own, source: "native" }),
    event("error", lost, own),
    event("note", lost, nowhere),
  ])
    expect(observe(silent)).toEqual([]);
});
