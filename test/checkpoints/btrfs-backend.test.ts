// The btrfs backend on a real btrfs.

import { afterAll, expect, test } from "bun:test";
import * as fc from "fast-check";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import { createSubvolume } from "../../src/kernel/btrfs.ts";
import { createKit, snapshotOf, type Kit } from "../support/checkpoint-kit.ts";
import { mountLoop } from "../support/loop-mount.ts";
import { build, damage, empty, spoil, tree } from "../support/random-tree.ts";

const mount = mountLoop("btrfs");
afterAll(() => mount?.unmount());

function subvolumeKit(): Kit {
  const root = mkdtempSync(join(mount?.path ?? "", "kit-"));
  createSubvolume(root, "workspace");
  return createKit({ root });
}

const manual = { kind: "manual", reason: "manual" } as const;

test.skipIf(!mount)(
  "files and bytes are counted in a small snapshot, null in a large one",
  async () => {
    const kit = subvolumeKit();
    mkdirSync(join(kit.workspace, "inner"));
    writeFileSync(join(kit.workspace, "inner/a"), "12345");
    symlinkSync("a", join(kit.workspace, "inner/link"));
    const small = await kit.service.create({ workspace: kit.workspace, ...manual });
    expect(small).toMatchObject({ files: 2, bytes: 5 });
    for (let index = 0; index < 5_000; index += 1) {
      writeFileSync(join(kit.workspace, `f${index}`), "");
    }
    const large = await kit.service.create({ workspace: kit.workspace, ...manual });
    expect(large).toMatchObject({ status: "ok", files: null, bytes: null });
  },
);

test.skipIf(!mount)(
  "restore from a snapshot is exact for random trees and random damage",
  async () => {
    const kit = subvolumeKit();
    await fc.assert(
      fc.asyncProperty(tree, damage, async (items, harm) => {
        empty(kit.workspace);
        build(kit.workspace, items);
        const before = snapshotOf(kit.workspace);
        const saved = await kit.service.create({ workspace: kit.workspace, ...manual });
        expect(saved).toMatchObject({
          status: "ok",
          backend: "btrfs",
          verified: true,
          error: null,
        });
        spoil(kit.workspace, harm);
        const damaged = snapshotOf(kit.workspace);
        const done = await kit.service.restore({ id: saved.id });
        expect(snapshotOf(kit.workspace)).toEqual(before);
        if (done.safety_id === null) return;
        await kit.service.restore({ id: done.safety_id });
        expect(snapshotOf(kit.workspace)).toEqual(damaged);
      }),
      { numRuns: 3 },
    );
  },
  120_000,
);

test.skipIf(!mount)(
  "create keeps snapshots beside the workspace, private; delete destroys them",
  async () => {
    const kit = subvolumeKit();
    writeFileSync(join(kit.workspace, "file"), "x");
    const saved = await kit.service.create({ workspace: kit.workspace, ...manual });
    const place = join(kit.root, ".observer-checkpoints");
    expect(lstatSync(place).mode & 0o777).toBe(0o700);
    expect(saved.ref?.startsWith(`${place}/`)).toBe(true);
    expect(readFileSync(join(saved.ref ?? "", "file"), "utf8")).toBe("x");
    expect(await kit.service.verify(saved.id)).toMatchObject({ ok: true });
    expect((await kit.service.delete(saved.id)).status).toBe("deleted");
    expect(existsSync(saved.ref ?? "")).toBe(false);
    expect(existsSync(place)).toBe(false);
  },
);

test.skipIf(!mount)(
  "create lists a nested subvolume and is partial; restore never touches it",
  async () => {
    const kit = subvolumeKit();
    createSubvolume(kit.workspace, "nested");
    writeFileSync(join(kit.workspace, "nested/kept"), "kept");
    writeFileSync(join(kit.workspace, "file"), "one");
    const saved = await kit.service.create({ workspace: kit.workspace, ...manual });
    expect(saved.status).toBe("partial");
    expect(saved.skipped).toEqual([
      { path: "nested", reason: "nested subvolume", listedOnly: false },
    ]);
    writeFileSync(join(kit.workspace, "file"), "two!");
    const done = await kit.service.restore({ id: saved.id });
    expect(done.untouched).toBe(1);
    expect(readFileSync(join(kit.workspace, "nested/kept"), "utf8")).toBe("kept");
    expect(readFileSync(join(kit.workspace, "file"), "utf8")).toBe("one");
  },
);

test.skipIf(!mount)(
  "a workspace that is a mount point keeps its snapshots in a subvolume inside",
  async () => {
    const kit = createKit({ workspace: mount?.path ?? "" });
    try {
      writeFileSync(join(kit.workspace, "top-file"), "one");
      const saved = await kit.service.create({ workspace: kit.workspace, ...manual });
      expect(saved).toMatchObject({ backend: "btrfs", verified: true });
      expect(saved.ref?.startsWith(join(kit.workspace, ".observer-checkpoints/"))).toBe(true);
      expect(readdirSync(join(saved.ref ?? "", ".observer-checkpoints"))).toEqual([]);
      expect(saved.skipped.some((skip) => skip.path === ".observer-checkpoints")).toBe(false);
      await kit.service.delete(saved.id);
    } finally {
      kit.remove();
    }
  },
);

test.skipIf(!mount)("a plain directory on btrfs is saved by the store", async () => {
  const root = mkdtempSync(join(mount?.path ?? "", "plain-"));
  mkdirSync(join(root, "workspace"));
  const kit = createKit({ root });
  expect(await kit.service.inspect(kit.workspace)).toMatchObject({ backend: "store" });
  const saved = await kit.service.create({ workspace: kit.workspace, ...manual });
  expect(saved).toMatchObject({ backend: "store", status: "ok" });
  rmSync(root, { recursive: true });
});

test.skipIf(!mount)(
  "create falls back to the store, and says so, where the place for snapshots is not ours",
  async () => {
    const kit = subvolumeKit();
    writeFileSync(join(kit.root, ".observer-checkpoints"), "in the way");
    const saved = await kit.service.create({ workspace: kit.workspace, ...manual });
    expect(saved).toMatchObject({ backend: "store", status: "ok", verified: true });
    expect(saved.warnings[0]).toStartWith("btrfs failed, store was used: ");
  },
);

test.skipIf(!mount)(
  "create on a frozen file system ends in unknown within its deadline, and is found after the thaw",
  async () => {
    const kit = subvolumeKit();
    // The data must be elsewhere: observer's own disk is healthy here.
    const elsewhere = createKit({ workspace: kit.workspace, deadlineMs: 500 });
    writeFileSync(join(kit.workspace, "file"), "dirty");
    const frozen = Bun.spawnSync(["fsfreeze", "-f", mount?.path ?? ""]);
    expect(frozen.success).toBe(true);
    let row: Checkpoint;
    try {
      const started = performance.now();
      row = await elsewhere.service.create({ workspace: kit.workspace, ...manual });
      expect(performance.now() - started).toBeLessThan(5_000);
      expect(row.status).toBe("unknown");
      await elsewhere.service.recover();
      expect(elsewhere.rows.get(row.id)?.status).toBe("unknown");
    } finally {
      Bun.spawnSync(["fsfreeze", "-u", mount?.path ?? ""]);
    }
    for (let wait = 0; wait < 50 && elsewhere.rows.get(row.id)?.status === "unknown"; wait += 1) {
      await Bun.sleep(50);
      await elsewhere.service.recover();
    }
    expect(["ok", "failed"]).toContain(elsewhere.rows.get(row.id)?.status ?? "");
    elsewhere.remove();
  },
  20_000,
);

test.skipIf(!mount)("verify reports a snapshot that is gone", async () => {
  const kit = subvolumeKit();
  const saved = await kit.service.create({ workspace: kit.workspace, ...manual });
  Bun.spawnSync(["btrfs", "subvolume", "delete", saved.ref ?? ""]);
  expect(await kit.service.verify(saved.id)).toMatchObject({
    ok: false,
    problems: ["corrupt: the snapshot is gone"],
  });
});

test.skipIf(!mount)(
  "create follows no symlink that stands where its snapshots would be",
  async () => {
    const kit = subvolumeKit();
    const victim = join(kit.root, "victim");
    mkdirSync(victim, { mode: 0o755 });
    symlinkSync(victim, join(kit.root, ".observer-checkpoints"));
    const saved = await kit.service.create({ workspace: kit.workspace, ...manual });
    expect(lstatSync(victim).mode & 0o777).toBe(0o755);
    expect(readdirSync(victim)).toEqual([]);
    // The store has no such place to keep.
    expect([saved.status, saved.backend]).toEqual(["ok", "store"]);
  },
);
