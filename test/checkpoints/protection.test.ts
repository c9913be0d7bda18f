// Which workspaces are protected: a stand-in for the checkpoint service, which has tests of its own.

import { expect, test } from "bun:test";
import type { Checkpoint, CheckpointRows, CheckpointService } from "../../src/core/checkpoint.ts";
import { createProtection } from "../../src/checkpoints/protection.ts";
import { createFakeLog } from "../support/clock.ts";

/** Answers for paths that begin with `/good`; what was created is listed. */
function rig(armed: boolean, workspaces: string[]) {
  const created: string[] = [];
  const broken = new Set<string>();
  const service = {
    inspect: (path: string) =>
      path.startsWith("/good") && !broken.has(path)
        ? Promise.resolve({ backend: path.includes("btrfs") ? "btrfs" : "store", reason: "fits" })
        : Promise.reject(new Error(`Cannot use "${path}"`)),
    create: ({ workspace }: { workspace: string }) => {
      created.push(workspace);
      return Promise.resolve({} as Checkpoint);
    },
  } as unknown as CheckpointService;
  const rows = {
    list: ({ workspace }: { workspace?: string }) =>
      created.filter((path) => path === workspace).map(() => ({}) as Checkpoint),
  } as unknown as CheckpointRows;
  const log = createFakeLog();
  const protection = createProtection({ workspaces, armed }, { service, rows, log });
  return { protection, created, broken, log };
}

test("check says which workspaces can be saved, by what, and why not", async () => {
  const { protection, log } = rig(true, ["/good/a", "/bad"]);
  await protection.check();
  expect(protection.current()).toEqual({
    armed: true,
    workspaces: [
      { path: "/good/a", backend: "store", reason: "fits" },
      { path: "/bad", backend: null, reason: 'Cannot use "/bad"' },
    ],
  });
  await protection.check();
  expect(log.lines.filter((line) => line.includes("/bad"))).toHaveLength(1);
});

test("check warns again of a workspace that lost its protection", async () => {
  const { protection, broken, log } = rig(true, ["/good/a"]);
  await protection.check();
  broken.add("/good/a");
  await protection.check();
  expect(log.lines).toHaveLength(1);
  expect(protection.current().workspaces[0]?.backend).toBeNull();
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
