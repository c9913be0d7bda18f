// The checkpoint reaction: holds the freeze of its agent for as long as the checkpoint takes, and no longer.

import { expect, test } from "bun:test";
import type { Checkpoint, CheckpointService, CreateRequest } from "../../src/core/checkpoint.ts";
import type { Interruption } from "../../src/core/interruption.ts";
import type { ReactionOrder } from "../../src/core/reaction.ts";
import { createCheckpointReaction, type ReleaseFreeze } from "../../src/reactions/checkpoint.ts";

const SAVED = { id: "c1", status: "ok", backend: "store", verified: true } as Checkpoint;

function rig(create: (request: CreateRequest) => Promise<Checkpoint>, hold: boolean) {
  const steps: string[] = [];
  const release: ReleaseFreeze = () => {
    steps.push("released");
    return { frozenMs: 12.345678, method: "freezer" };
  };
  const reaction = createCheckpointReaction({
    checkpoints: {
      create: (request: CreateRequest) => {
        steps.push("create");
        return create(request);
      },
    } as CheckpointService,
    checkpointDeadlineMs: 1_000,
    holdFreeze: () => {
      steps.push("held");
      return hold ? release : null;
    },
  });
  const interruption = { id: "i1", type: "memory_pressure", workspace: "/w" } as Interruption;
  const order = { kind: "checkpoint", interruption } as ReactionOrder;
  return { steps, perform: () => reaction.perform(order, new AbortController().signal) };
}

test("perform holds the freeze before anything else, releases it after, and records both", async () => {
  const { steps, perform } = rig(() => Promise.resolve(SAVED), true);
  const outcome = perform();
  expect(steps).toEqual(["held", "create"]);
  expect(await outcome).toMatchObject({
    status: "done",
    detail: { checkpoint_id: "c1", frozen_ms: 12.346, freeze_method: "freezer" },
  });
  expect(steps[2]).toBe("released");
});

test("perform releases the freeze also when the checkpoint throws", async () => {
  const { steps, perform } = rig(() => Promise.reject(new Error("disk")), true);
  expect(await perform().catch(String)).toBe("Error: disk");
  expect(steps).toEqual(["held", "create", "released"]);
});

test("perform records nothing of a freeze where there was none", async () => {
  const { detail } = await rig(() => Promise.resolve(SAVED), false).perform();
  expect(Object.keys(detail)).not.toContain("frozen_ms");
});
