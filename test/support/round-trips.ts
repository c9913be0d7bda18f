// The property of a checkpoint: random trees and random damage, saved and brought back, compared by another walker.

import { deepStrictEqual, ok } from "node:assert";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import { systemClock } from "../../src/core/clock.ts";
import { newId } from "../../src/core/ids.ts";
import { apply, plan } from "../../src/checkpoints/restore.ts";
import { backendNamed } from "../../src/checkpoints/catalog.ts";
import { backendsOf, create, inspect } from "../../src/checkpoints/operations.ts";
import { createSubvolume } from "../../src/kernel/btrfs.ts";
import { exactWalk } from "./exact-walk.ts";
import { build, damage, empty, spoil, tree } from "./random-tree.ts";

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

const RULES = {
  exclude: [],
  defaultExcludes: true,
  fileBytesMax: 100 * 1024 * 1024,
  filesMax: 300_000,
  totalBytesMax: 5 * 1024 * 1024 * 1024,
};

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
    }),
    { numRuns: options.runs, seed: options.seed, endOnFailure: true },
  );
  rmSync(directory, { recursive: true });
}

/** What the service does with rows and helpers, without both. */
function createSaver(workspace: string, directory: string) {
  const context = { directory, lockWaitMs: 10_000, allowAnyPath: [], home: "/root" };
  const save = (include: string[]): Checkpoint => {
    const { backend, identity } = inspect(context, { workspace });
    const id = newId();
    const saved = create(context, {
      id,
      workspace,
      backend,
      rules: RULES,
      include,
      background: false,
    });
    deepStrictEqual([saved.skipped, saved.warnings, saved.verified], [[], [], true]);
    return rowOf({ id, workspace, backend, identity, ref: saved.ref });
  };
  return {
    context,
    save,
    restore(checkpoint: Checkpoint): void {
      const job = { checkpoint, path: "", force: false };
      const { touched } = plan(context, job);
      const safety = touched.length > 0 ? save(touched) : null;
      const journal = join(directory, "restores", `${newId()}.json`);
      const done = apply(context, { ...job, safety, journal, startedMs: 0 });
      deepStrictEqual([done.warnings, done.residual], [[], []]);
    },
    verify(checkpoint: Checkpoint): void {
      const report = backendNamed(backendsOf(context), checkpoint.backend).verify(checkpoint);
      ok(report.ok, report.problems.join());
    },
  };
}

function rowOf(
  known: Pick<Checkpoint, "id" | "workspace" | "backend" | "identity" | "ref">,
): Checkpoint {
  return {
    ...known,
    host: "test-host",
    kind: "manual",
    reason: "manual",
    label: null,
    interruptionId: null,
    sessionId: null,
    agent: null,
    createdMs: systemClock.now(),
    durationMs: null,
    files: null,
    bytes: null,
    verified: true,
    pinned: false,
    parentId: null,
    status: "ok",
    skipped: [],
    warnings: [],
    error: null,
  };
}
