// The property of a checkpoint: random trees and random damage, saved and brought back, compared by another walker.

import { deepStrictEqual } from "node:assert";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import { inspect } from "../../src/checkpoints/operations.ts";
import { createSubvolume } from "../../src/kernel/btrfs.ts";
import { exactWalk } from "./exact-walk.ts";
import { build, damage, empty, spoil, tree } from "./random-tree.ts";
import { createSaver } from "./saver.ts";

export interface RoundTrips {
  /** A directory of a file system of any kind, which the program may fill. */
  place: string;
  /** Make the workspace a subvolume. */
  subvolume: boolean;
  /** Which backend must serve it. */
  backend: "btrfs" | "store";
  runs: number;
  seed: number;
}

/** Throws with the smallest tree that does not come back. Everything in this process: the operations, not the service. */
export function runRoundTrips(options: RoundTrips): void {
  const workspace = join(options.place, "workspace");
  const directory = join(options.place, "data");
  if (options.subvolume) createSubvolume(options.place, "workspace");
  else mkdirSync(workspace);
  mkdirSync(directory, { mode: 0o700 });
  const saver = createSaver(workspace, directory);
  const found = inspect(saver.context, { workspace });
  deepStrictEqual(found.backend, options.backend);
  fc.assert(
    fc.property(tree, damage, (items, harm) => {
      empty(workspace);
      build(workspace, items);
      const trees = [exactWalk(workspace)];
      const saved = [saver.save([])];
      spoil(workspace, harm);
      trees.push(exactWalk(workspace));
      saved.push(saver.save([]));
      for (const at of [0, 1, 0]) {
        saver.restore(saved[at] as Checkpoint);
        deepStrictEqual(exactWalk(workspace), trees[at]);
      }
      for (const checkpoint of saved) saver.verify(checkpoint);
      saver.forget();
    }),
    { numRuns: options.runs, seed: options.seed, endOnFailure: true },
  );
  rmSync(directory, { recursive: true });
}
