// Random trees, random damage: a restore is exact.

import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { createKit, snapshotOf } from "../support/checkpoint-kit.ts";
import { build, damage, empty, spoil, tree } from "../support/random-tree.ts";

// Owners and modes without read permission are exact as root only.
const isRoot = process.geteuid?.() === 0;
if (!isRoot) console.log("skipped: round trips of unreadable files need root");

test.skipIf(!isRoot)(
  "restore is exact for random trees and random damage",
  async () => {
    const kit = createKit();
    try {
      await fc.assert(
        fc.asyncProperty(tree, damage, async (items, harm) => {
          empty(kit.workspace);
          build(kit.workspace, items);
          const before = snapshotOf(kit.workspace);
          const saved = await kit.service.create({
            workspace: kit.workspace,
            kind: "manual",
            reason: "manual",
          });
          expect(saved).toMatchObject({ status: "ok", verified: true });
          spoil(kit.workspace, harm);
          const damaged = snapshotOf(kit.workspace);

          const done = await kit.service.restore({ id: saved.id });
          expect(done.warnings).toEqual([]);
          expect(snapshotOf(kit.workspace)).toEqual(before);
          expect(await kit.service.verify(saved.id)).toMatchObject({ ok: true, problems: [] });
          if (done.safety_id === null) return;
          await kit.service.restore({ id: done.safety_id });
          expect(snapshotOf(kit.workspace)).toEqual(damaged);
        }),
        { numRuns: 30 },
      );
    } finally {
      kit.remove();
    }
  },
  120_000,
);
