// Takes checkpoints and restores them in this process, for tests that do so hundreds of times.

import { deepStrictEqual, ok } from "node:assert";
import { join } from "node:path";
import type { Checkpoint, TextDiff } from "../../src/core/checkpoint.ts";
import { systemClock } from "../../src/core/clock.ts";
import { newId } from "../../src/core/ids.ts";
import { backendNamed } from "../../src/checkpoints/catalog.ts";
import { backendsOf, create, inspect, text } from "../../src/checkpoints/operations.ts";
import { apply, plan } from "../../src/checkpoints/restore.ts";

const RULES = {
  exclude: [],
  defaultExcludes: true,
  fileBytesMax: 100 * 1024 * 1024,
  filesMax: 300_000,
  totalBytesMax: 5 * 1024 * 1024 * 1024,
};

/** What the service does with rows and helpers, without both: takes checkpoints and restores them in this process. */
export function createSaver(workspace: string, directory: string) {
  const context = { directory, lockWaitMs: 10_000, allowAnyPath: [], home: "/root" };
  const rows: Checkpoint[] = [];
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
      keepFreeBytes: 0,
    });
    deepStrictEqual([saved.skipped, saved.warnings, saved.verified], [[], [], true]);
    const row = rowOf({ id, workspace, backend, identity, ref: saved.ref });
    rows.push(row);
    return row;
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
    /** Without a safety checkpoint, whatever happens; how many paths could not be restored. */
    force(checkpoint: Checkpoint): number {
      const journal = join(directory, "restores", `${newId()}.json`);
      const job = { checkpoint, path: "", force: true, safety: null, journal, startedMs: 0 };
      const done = apply(context, job);
      return done.warnings.length + done.residual.length;
    },
    diffText: (checkpoint: Checkpoint, path: string): TextDiff =>
      text(context, { checkpoint, to: null, path }),
    /** Deletes everything that was saved so far. */
    forget(): void {
      for (const row of rows.splice(0))
        deepStrictEqual(backendNamed(backendsOf(context), row.backend).delete([row]).warnings, []);
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
