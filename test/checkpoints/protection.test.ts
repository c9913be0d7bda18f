// Which workspaces are protected: a stand-in for the checkpoint service, which has tests of its own.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { judgeProtection, type Remembered } from "../../src/checkpoints/protection-judge.ts";
import { createProtection, type ProtectionNote } from "../../src/checkpoints/protection.ts";
import type {
  Checkpoint,
  CheckpointRows,
  CheckpointService,
  Inspected,
} from "../../src/core/checkpoint.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { createFakeLog } from "../support/clock.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "observer-protection-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const fits = (over: Partial<Inspected> = {}): Inspected => ({
  backend: "store",
  reason: "fits",
  path: "/good/a",
  identity: "1:2",
  unsure: false,
  ...over,
});
const cannot = (reason: string, unsure = false): Inspected =>
  fits({ backend: null, reason, path: null, identity: null, unsure });

/** Answers for paths that begin with `/good`; `seen` overrides it; what was created is listed. */
function rig(armed: boolean, workspaces: string[]) {
  const created: string[] = [];
  const saved: Checkpoint[] = [];
  const seen = new Map<string, Inspected>();
  const notes: ProtectionNote[] = [];
  const resolved: string[] = [];
  const state = { stores: true };
  const service = {
    inspect: (path: string) =>
      path.startsWith("/good")
        ? Promise.resolve(
            seen.get(path) ?? fits({ path, backend: path.includes("btrfs") ? "btrfs" : "store" }),
          )
        : Promise.reject(new Error(`Cannot use "${path}"`)),
    create: ({ workspace }: { workspace: string }) => {
      created.push(workspace);
      const { identity = "1:2" } = seen.get(workspace) ?? {};
      saved.push({ workspace, identity } as Checkpoint);
      return Promise.resolve({} as Checkpoint);
    },
  } as unknown as CheckpointService;
  const rows = {
    list: ({ workspace }: { workspace?: string }) =>
      saved.filter((row) => row.workspace === workspace),
  } as unknown as CheckpointRows;
  const log = createFakeLog();
  const start = () =>
    createProtection(
      { workspaces, armed, directory },
      {
        service,
        rows,
        log,
        metrics: createMetrics(),
        tell: (note) => {
          if (state.stores) notes.push(note);
          return Promise.resolve(state.stores);
        },
        resolve: (workspace) => void resolved.push(workspace),
      },
    );
  return { protection: start(), start, created, seen, notes, resolved, state, log };
}

test("check says which workspaces can be saved, by what, and why not", async () => {
  const { protection, log, notes } = rig(true, ["/good/a", "/bad"]);
  const bad = () => log.lines.filter((line) => line.includes("/bad"));
  // The first look at it was cut short by an error, and proves nothing.
  for (let look = 0; look < 3; look += 1) await protection.check();
  expect(protection.current()).toEqual({
    armed: true,
    workspaces: [
      { path: "/good/a", backend: "store", reason: "fits" },
      { path: "/bad", backend: null, reason: 'Cannot use "/bad"' },
    ],
  });
  expect(bad()).toHaveLength(1);
  // It never could be saved: that is no trouble that came up.
  expect(notes).toEqual([]);
});

test("check tells a loss once, also after a restart, and the return once", async () => {
  const { protection, start, seen, notes, resolved } = rig(true, ["/good/a"]);
  await protection.check();
  seen.set("/good/a", cannot("it is gone"));
  await protection.check();
  await protection.check();
  const again = start();
  await again.check();
  const lost = { note: "protection_lost", workspace: "/good/a", reason: "it is gone" };
  expect(notes).toEqual([lost as ProtectionNote]);
  expect(resolved).toEqual([]);
  seen.delete("/good/a");
  await again.check();
  await again.check();
  expect(notes.map(({ note }) => note)).toEqual(["protection_lost", "protection_back"]);
  expect(resolved).toEqual(["/good/a"]);
});

test("a loss that could not be stored is told again", async () => {
  const { protection, seen, notes, state } = rig(true, ["/good/a"]);
  await protection.check();
  seen.set("/good/a", cannot("no space"));
  state.stores = false;
  await protection.check();
  expect(notes).toEqual([]);
  state.stores = true;
  await protection.check();
  await protection.check();
  expect(notes).toHaveLength(1);
});

test("another directory at the same place is a loss until it is saved, which happens by itself when armed", async () => {
  const { protection, seen, notes, created, resolved } = rig(true, ["/good/a"]);
  await protection.check();
  await protection.takeBaselines();
  expect(created).toEqual(["/good/a"]);
  seen.set("/good/a", fits({ identity: "1:99" }));
  await protection.round();
  // It is not waited for, because it may take minutes.
  for (let wait = 0; wait < 100 && created.length < 2; wait += 1) await Bun.sleep(1);
  expect(notes).toMatchObject([{ note: "protection_lost" }]);
  expect(notes[0]?.reason).toContain("another directory");
  expect(created).toEqual(["/good/a", "/good/a"]);
  await protection.round();
  expect(resolved).toEqual(["/good/a"]);
});

const known: Remembered = { path: "/good/a", identity: "1:2", lost: null, unsure: 0 };
const judge = (before: Remembered | undefined, seen: Inspected, isSaved = false) =>
  judgeProtection(before, seen, { isSaved });

test("judgeProtection: a look that was cut short proves nothing, two in a row do", () => {
  const first = judge(known, cannot("did not finish", true));
  expect(first.told).toBeNull();
  expect(judge(first.now, fits()).told).toBeNull();
  expect(judge(first.now, cannot("did not finish", true)).told).toBe("protection_lost");
  expect(judge(known, cannot("gone")).told).toBe("protection_lost");
});

test("judgeProtection: a symlink that leads elsewhere is a loss, another device number is not", () => {
  const moved = judge(known, fits({ path: "/good/b", identity: "1:3" }));
  expect(moved.told).toBe("protection_lost");
  expect(moved.now.lost).toContain("/good/b");
  expect(judge(known, fits({ identity: "9:2" })).told).toBeNull();
  expect(judge(known, fits({ identity: "btrfs:abc" })).told).toBe("protection_lost");
  expect(judge(moved.now, fits({ path: "/good/b", identity: "1:3" }), true).told).toBe(
    "protection_back",
  );
});

test("judgeProtection: what never could be saved is not told as a loss, nor as a return", () => {
  const never = judge(undefined, cannot("a home directory"));
  expect(never.told).toBe("never_protected");
  expect(judge(never.now, cannot("a home directory")).told).toBeNull();
  expect(judge(never.now, fits()).told).toBeNull();
});

test("takeBaselines saves each workspace of the store once, and none when it is not armed", async () => {
  const armed = rig(true, ["/good/a", "/good/btrfs", "/bad"]);
  await armed.protection.check();
  await armed.protection.takeBaselines();
  await armed.protection.takeBaselines();
  expect(armed.created).toEqual(["/good/a"]);
  const off = rig(false, ["/good/a"]);
  await off.protection.check();
  await off.protection.takeBaselines();
  expect(off.created).toEqual([]);
});
