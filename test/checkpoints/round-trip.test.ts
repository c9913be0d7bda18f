// Random trees, random damage: a restore is exact, on every kind of file system, for root and for others.

import { afterAll, describe, expect, test } from "bun:test";
import { chownSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { createKit } from "../support/checkpoint-kit.ts";
import { asUid, canBeNobody, canNobodyRead, NOBODY } from "../support/daemon.ts";
import { exactWalk } from "../support/exact-walk.ts";
import { mountLoop } from "../support/loop-mount.ts";
import { build, damage, empty, spoil, tree } from "../support/random-tree.ts";
import type { RoundTrips } from "../support/round-trips.ts";

const PROGRAM = Bun.fileURLToPath(import.meta.resolve("../support/programs/round-trip.ts"));
const isLong = Bun.env["OBSERVER_TEST_LONG"] === "1";
/** A run is some 0.2 s of work. */
const RUNS = isLong ? 300 : 8;
const LONG_BYTES = 4 * 1024 * 1024 * 1024;
const PATIENCE_MS = isLong ? 1_800_000 : 120_000;

const rooms: string[] = [];
afterAll(() => {
  for (const room of rooms) rmSync(room, { recursive: true, force: true });
});

/** Runs them in a process of their own; what that says of a failure is the failure. */
function roundTrips(
  options: Pick<RoundTrips, "place" | "subvolume" | "backend">,
  as: (command: string[]) => string[] = (command) => command,
): void {
  const seed = crypto.getRandomValues(new Int32Array(1))[0] ?? 0;
  const request: RoundTrips = { ...options, runs: RUNS, seed };
  const done = Bun.spawnSync(as([process.execPath, PROGRAM, JSON.stringify(request)]), {
    timeout: PATIENCE_MS,
    cwd: "/",
  });
  expect(done.stderr.toString()).toBe("");
  expect(done.exitCode).toBe(0);
}

/** A directory for one test in a place that is there already. */
function roomIn(place: string, owner?: number): string {
  const room = mkdtempSync(join(place, "round-trip-"));
  if (owner !== undefined) chownSync(room, owner, owner);
  rooms.push(room);
  return room;
}

describe("every tree comes back exactly, and so does the damage", () => {
  for (const kind of ["btrfs", "xfs", "ext4"] as const) {
    // btrfs takes its time to give the space of deleted snapshots back.
    const mount = mountLoop(kind, isLong ? LONG_BYTES : undefined);
    // Registered after the removal of rooms, and so run before it.
    afterAll(() => mount?.unmount());
    const place = mount?.path ?? "";
    test.skipIf(!mount)(
      `with the store on ${kind}`,
      () => roundTrips({ place: roomIn(place), subvolume: false, backend: "store" }),
      PATIENCE_MS,
    );
    if (kind !== "btrfs") continue;
    test.skipIf(!mount)(
      "with snapshots of btrfs",
      () => roundTrips({ place: roomIn(place), subvolume: true, backend: "btrfs" }),
      PATIENCE_MS,
    );
  }

  const root = process.geteuid?.() === 0;
  const can = !root || (canBeNobody() && canNobodyRead(PROGRAM));
  test.skipIf(!can)(
    "as an ordinary user where the tests run",
    () => {
      const place = roomIn(tmpdir(), root ? NOBODY : undefined);
      roundTrips({ place, subvolume: false, backend: "store" }, (command) =>
        root ? asUid(NOBODY, command) : command,
      );
    },
    PATIENCE_MS,
  );
});

test(
  "the service's own restore is exact, and its safety checkpoint brings the damage back",
  async () => {
    const kit = createKit();
    try {
      await fc.assert(
        fc.asyncProperty(tree, damage, async (items, harm) => {
          empty(kit.workspace);
          build(kit.workspace, items);
          const before = exactWalk(kit.workspace);
          const saved = await kit.service.create({
            workspace: kit.workspace,
            kind: "manual",
            reason: "manual",
          });
          expect(saved).toMatchObject({ status: "ok", verified: true });
          spoil(kit.workspace, harm);
          const damaged = exactWalk(kit.workspace);

          const done = await kit.service.restore({ id: saved.id });
          expect(done.warnings).toEqual([]);
          expect(exactWalk(kit.workspace)).toEqual(before);
          expect(await kit.service.verify(saved.id)).toMatchObject({ ok: true, problems: [] });
          if (done.safety_id === null) return;
          await kit.service.restore({ id: done.safety_id });
          expect(exactWalk(kit.workspace)).toEqual(damaged);
        }),
        { numRuns: isLong ? 50 : 4 },
      );
    } finally {
      kit.remove();
    }
  },
  PATIENCE_MS,
);
