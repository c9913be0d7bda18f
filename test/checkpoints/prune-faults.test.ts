// Deletions that are killed, and a disk that is full: every checkpoint that is listed afterwards is whole.

import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Checkpoint } from "../../src/core/checkpoint.ts";

import { createKit, failureOf, HELPER, type Kit } from "../support/checkpoint-kit.ts";
import { type LoopMount, mountLoop } from "../support/loop-mount.ts";
import { damageOf, problemsOf, saveInProcess } from "../support/store-in-process.ts";

setDefaultTimeout(600_000);

const MIB = 1024 * 1024;
const ROUNDS = process.env["OBSERVER_TEST_LONG"] === "1" ? 100 : 30;
const SMALL_DISK_BYTES = 48 * MIB;

let kit: Kit | undefined;
afterEach(() => {
  kit?.remove();
  kit = undefined;
});

const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));

/** Deletes as observer does, and dies with its helper a moment after that has begun. */
async function killedDeletion({ directory }: Kit, rows: Checkpoint[], afterMs: number) {
  const request = {
    op: "delete",
    context: { directory, allowAnyPath: [], home: homedir(), lockWaitMs: 10_000 },
    request: { checkpoints: rows, background: false, thorough: true },
  };
  const helper = Bun.spawn(HELPER, {
    stdin: Buffer.from(JSON.stringify(request)),
    stdout: "ignore",
    stderr: "ignore",
  });
  const gone = (): boolean => helper.exitCode !== null || helper.signalCode !== null;
  const noted = (): boolean => rows.some(({ id }) => existsSync(join(directory, "deletes", id)));
  while (!gone() && !noted()) await Bun.sleep(1);
  await Bun.sleep(afterMs);
  const killed = !gone();
  helper.kill("SIGKILL");
  await helper.exited;
  return killed;
}

test(`a deletion that is killed ${ROUNDS} times leaves each checkpoint whole or gone`, async () => {
  const own = (kit = createKit());
  const { workspace, rows, directory } = own;
  let killed = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    mkdirSync(join(workspace, `d${round % 7}`), { recursive: true });
    for (let file = 0; file < 150; file += 1)
      writeFileSync(join(workspace, `d${round % 7}`, `${file}`), random(4_000));
    saveInProcess(own);
    const usable = rows.list({ status: ["ok"] }).toReversed();
    const going = usable.slice(0, Math.max(0, usable.length - 2 - (round % 2)));
    if (going.length === 0) continue;
    // From the first byte to after the last: it takes some 20 ms.
    if (await killedDeletion(own, going, (round % 10) * 4)) killed += 1;
    const restarted = own.restarted();
    // Before anything was mended, what is half deleted is refused, and the rest is whole.
    const noted = new Set(
      existsSync(join(directory, "deletes")) ? readdirSync(join(directory, "deletes")) : [],
    );
    for (const row of usable) if (!noted.has(row.id)) expect(problemsOf(own, row)).toEqual([]);
    await restarted.recover();
    for (const id of noted) expect(rows.get(id)?.status).toBe("deleted");
    expect(damageOf(own)).toEqual({});
  }
  expect(killed).toBeGreaterThan(ROUNDS / 4);
  console.log(`  ${killed} of ${ROUNDS} deletions were killed midway`);
  for (const row of rows.list({})) await own.service.delete(row.id);
  expect(readdirSync(join(directory, "store/packs"))).toEqual([]);
});

/** A disk of its own, or undefined with the reason printed. */
async function onSmallDisk(work: (disk: LoopMount, own: Kit) => Promise<void>): Promise<void> {
  const disk = mountLoop("ext4", SMALL_DISK_BYTES);
  if (!disk) return;
  try {
    // The guard is off unless a test sets it: the disk is to be filled.
    const own = createKit({ root: join(disk.path, "kit"), keep: { keepFreeBytes: 0 } });
    await work(disk, own);
  } finally {
    disk.unmount();
  }
}

const freeBytes = (path: string): number => {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
};

/** Takes all that is left, in ever smaller pieces. */
function fill(path: string): void {
  for (let bytes = MIB, file = 0; bytes >= 512; file += 1) {
    try {
      writeFileSync(join(path, `fill-${file}`), random(Math.min(bytes, 65_536)), { flush: true });
      if (file > 5_000) throw new Error("it is never full");
    } catch (error) {
      rmSync(join(path, `fill-${file}`), { force: true });
      if (!String(error).includes("ENOSPC")) throw error;
      bytes /= 4;
    }
  }
}

test("on a full disk checkpoints can be pruned, and then taken again", async () => {
  await onSmallDisk(async ({ path }, own) => {
    const { workspace, rows, directory } = own;
    const create = async () =>
      await own.service.create({ workspace, kind: "manual", reason: "test" });
    for (let round = 0; round < 4; round += 1) {
      for (let file = 0; file < 40; file += 1)
        writeFileSync(join(workspace, `${file}`), random(25_000));
      expect(await create()).toMatchObject({ status: "ok" });
    }
    expect(existsSync(join(directory, "store/reserve"))).toBe(true);
    fill(path);
    expect(freeBytes(path)).toBeLessThan(64 * 1024);
    writeFileSync(join(workspace, "0"), random(100));
    expect(damageOf(own)).toEqual({});
    const done = await own.restarted({ keep: { keepFreeBytes: 0, count: 1 } }).prune({});
    expect(done).toMatchObject({ failed: [] });
    expect(done.items).toHaveLength(3);
    expect(done.freed_bytes).toBeGreaterThan(2 * MIB);
    expect(damageOf(own)).toEqual({});
    expect(readdirSync(join(directory, "deletes"))).toEqual([]);
    expect(await create()).toMatchObject({ status: "ok", verified: true });
    expect(damageOf(own)).toEqual({});
    expect(rows.list({ status: ["ok"] })).toHaveLength(2);
  });
});

test("a checkpoint that does not fit is refused, and takes nothing from what must stay free", async () => {
  await onSmallDisk(async ({ path }, own) => {
    const { workspace, directory } = own;
    const keep = { keepFreeBytes: Number.MAX_SAFE_INTEGER, keepFreePercent: 30 };
    const service = own.restarted({ keep });
    const create = async () => await service.create({ workspace, kind: "auto", reason: "test" });
    writeFileSync(join(workspace, "small"), random(100_000));
    const first = await create();
    expect(first).toMatchObject({ status: "ok" });
    const total = statfsSync(path).blocks * statfsSync(path).bsize;
    // It fits beside the guard once, the copy of it does not.
    const large = freeBytes(path) - Math.floor(total * 0.3) - MIB;
    writeFileSync(join(workspace, "large"), random(large));
    const before = freeBytes(path);
    expect(await failureOf(create())).toMatchObject({ code: "no_space" });
    // Some pages of the index may stay.
    expect(freeBytes(path)).toBeGreaterThan(before - MIB);
    expect(damageOf(own)).toEqual({});
    expect(own.rows.get(first.id)?.status).toBe("ok");
    const packs = join(directory, "store/packs");
    const packed = readdirSync(packs).reduce(
      (sum, name) => sum + statSync(join(packs, name)).size,
      0,
    );
    expect(packed).toBeLessThan(MIB);
    rmSync(join(workspace, "large"));
    expect(await create()).toMatchObject({ status: "ok" });
  });
});

test("older checkpoints give way to one that does not fit beside them", async () => {
  await onSmallDisk(async ({ path }, own) => {
    const { workspace, rows } = own;
    const keep = { keepFreeBytes: 2 * MIB, keepFreePercent: 100 };
    const service = own.restarted({ keep });
    for (let round = 0; round < 12; round += 1) {
      writeFileSync(join(workspace, "file"), random(5 * MIB));
      const row = await service.create({ workspace, kind: "auto", reason: "test" });
      expect(row).toMatchObject({ status: "ok", verified: true });
      expect(freeBytes(path)).toBeGreaterThan(2 * MIB);
    }
    const left = rows.list({ status: ["ok"] });
    expect(left.length).toBeGreaterThan(1);
    expect(left.length).toBeLessThan(9);
    expect(damageOf(own)).toEqual({});
  });
});

test("a read-only disk is no protection, and it is again when it can be written", async () => {
  await onSmallDisk(async (disk, own) => {
    const { workspace, service } = own;
    expect(await service.inspect(workspace)).toMatchObject({ backend: "store" });
    disk.remount("ro");
    const seen = await service.inspect(workspace);
    expect(seen).toMatchObject({ backend: null, unsure: false });
    expect(seen.reason).toContain("EROFS");
    disk.remount("rw");
    expect(await service.inspect(workspace)).toMatchObject({ backend: "store" });
  });
});

test("snapshots are pruned too, and the store is asked for none of it", async () => {
  const disk = mountLoop("btrfs");
  if (!disk) return;
  try {
    const workspace = join(disk.path, "workspace");
    Bun.spawnSync(["btrfs", "subvolume", "create", workspace]);
    const own = createKit({ root: join(disk.path, "kit"), workspace, keep: { count: 2 } });
    const { service, rows } = own;
    const taken: Checkpoint[] = [];
    for (let round = 0; round < 4; round += 1) {
      writeFileSync(join(workspace, "file"), random(10_000));
      taken.push(await service.create({ workspace, kind: "manual", reason: "test" }));
    }
    expect(taken.map(({ backend }) => backend)).toEqual(["btrfs", "btrfs", "btrfs", "btrfs"]);
    const paths = taken.map(({ ref }) => ref ?? "");
    await service.retention.round();
    expect(paths.map((path) => existsSync(path))).toEqual([false, false, true, true]);
    // Its file system is too full: all but the newest go.
    const noRoom = { keepFreeBytes: Number.MAX_SAFE_INTEGER, keepFreePercent: 100 };
    const done = await own.restarted({ keep: noRoom }).prune({});
    expect(done.items).toMatchObject([{ id: taken[2]?.id, reason: "free_space" }]);
    expect(existsSync(paths[3] ?? "")).toBe(true);
    expect(rows.list({ status: ["ok"] })).toHaveLength(1);
    // A snapshot is taken all the same: it costs next to nothing.
    const next = await own
      .restarted({ keep: noRoom })
      .create({ workspace, kind: "manual", reason: "test" });
    expect(next).toMatchObject({ backend: "btrfs", status: "ok" });
  } finally {
    disk.unmount();
  }
});
