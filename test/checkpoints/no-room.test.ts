// Full, read-only and vanishing file systems, each a real one.

import { afterAll, afterEach, beforeEach, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import { createSubvolume } from "../../src/kernel/btrfs.ts";
import { createKit, failureOf, type Kit } from "../support/checkpoint-kit.ts";
import { exactWalk } from "../support/exact-walk.ts";
import { type LoopMount, mountLoop } from "../support/loop-mount.ts";
import { QUICK_PLACE } from "../support/temp-directory.ts";

const MIB = 1024 * 1024;
const small = mountLoop("ext4", 24 * MIB);
const btrfs = mountLoop("btrfs");
afterAll(() => {
  small?.unmount();
  btrfs?.unmount();
});

let kit: Kit | undefined;
const places: string[] = [];
beforeEach(() => {
  kit = undefined;
});
afterEach(() => {
  small?.remount("rw");
  btrfs?.remount("rw");
  kit?.remove();
  for (const place of places.splice(0)) rmSync(place, { recursive: true, force: true });
});

const random = (bytes: number): Uint8Array => {
  const data = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(data.subarray(at, at + 65_536));
  return data;
};
const fill = (place: string, bytes: number): string => {
  const path = join(place, `ballast-${crypto.randomUUID()}`);
  places.push(path);
  writeFileSync(path, random(bytes));
  return path;
};
const put = (name: string, content: string | Uint8Array): void => {
  const path = join(kit?.workspace ?? "", name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
};
/** A new directory there, removed after the test. */
const roomOn = (mount: LoopMount | undefined): string => {
  const room = mkdtempSync(join(mount?.path ?? QUICK_PLACE, "room-"));
  places.push(room);
  return room;
};
const create = async (of: Kit): Promise<Checkpoint> =>
  await of.service.create({ workspace: of.workspace, kind: "manual", reason: "manual" });

test.skipIf(!small)(
  "a full disk fails the checkpoint with no_space; the ones before verify, and room helps",
  async () => {
    // The data on the small one, the workspace elsewhere.
    const elsewhere = roomOn(undefined);
    kit = createKit({ root: roomOn(small), workspace: join(elsewhere, "workspace") });
    put("kept", random(MIB));
    const first = await create(kit);
    expect(first).toMatchObject({ status: "ok", verified: true });
    for (let index = 0; index < 10; index += 1) put(`large/${index}`, random(3 * MIB));
    expect(await failureOf(create(kit))).toMatchObject({ code: "no_space" });
    const [second] = kit.rows.list({ workspace: kit.workspace, limit: 1 });
    expect(second).toMatchObject({ status: "failed", verified: false, ref: null });
    expect(await kit.service.verify(first.id)).toMatchObject({ ok: true, problems: [] });
    // What the failed one left behind does not stay in the way for good.
    rmSync(join(kit.workspace, "large"), { recursive: true });
    put("small", random(100_000));
    const third = await create(kit);
    expect(third).toMatchObject({ status: "ok", verified: true });
    const packs = join(kit.directory, "store/packs");
    const bytes = readdirSync(packs).reduce(
      (sum, name) => sum + statSync(join(packs, name)).size,
      0,
    );
    expect(bytes).toBeLessThan(2 * MIB);
    for (const { id } of [first, third])
      expect(await kit.service.verify(id)).toMatchObject({ ok: true });
  },
  60_000,
);

test.skipIf(!small)(
  "a restore that has no room is refused before anything is touched, and done when there is",
  async () => {
    const root = roomOn(undefined);
    kit = createKit({ root, workspace: join(roomOn(small), "workspace") });
    for (let index = 0; index < 8; index += 1) put(`d/${index}`, random(MIB));
    const saved = await create(kit);
    const before = exactWalk(kit.workspace);
    rmSync(join(kit.workspace, "d"), { recursive: true });
    put("later", "later");
    const damaged = exactWalk(kit.workspace);
    const ballast = fill(small?.path ?? "", 13 * MIB);
    const error = await failureOf(kit.service.restore({ id: saved.id }));
    expect(error).toMatchObject({ code: "no_space" });
    expect(exactWalk(kit.workspace)).toEqual(damaged);
    expect(
      existsSync(join(kit.directory, "restores")) && readdirSync(join(kit.directory, "restores")),
    ).toBeFalsy();
    rmSync(ballast);
    await kit.service.restore({ id: saved.id });
    expect(exactWalk(kit.workspace)).toEqual(before);
  },
  60_000,
);

test.skipIf(!small)(
  "a forced restore that runs out of room says so, leaves whole files, and is finished with room",
  async () => {
    const root = roomOn(undefined);
    kit = createKit({ root, workspace: join(roomOn(small), "workspace") });
    for (let index = 0; index < 8; index += 1) put(`d/${index}`, random(MIB));
    const saved = await create(kit);
    const before = exactWalk(kit.workspace);
    rmSync(join(kit.workspace, "d"), { recursive: true });
    const ballast = fill(small?.path ?? "", 13 * MIB);
    const done = await kit.service.restore({ id: saved.id, force: true });
    expect(done.warnings.join("\n")).toMatch(/ENOSPC/);
    expect(done.warnings.join("\n")).toMatch(/still different: d\//);
    // A file is there whole or not at all, and nothing of the attempt is left.
    const now = exactWalk(kit.workspace);
    for (const [path, facts] of Object.entries(now))
      if (/d\//.test(path)) expect(facts).toBe(before[path] ?? "");
    rmSync(ballast);
    await kit.service.restore({ id: saved.id });
    expect(exactWalk(kit.workspace)).toEqual(before);
  },
  60_000,
);

test.skipIf(!small)(
  "what finds no room is tried again when the deletions are done",
  async () => {
    const root = roomOn(undefined);
    kit = createKit({ root, workspace: join(roomOn(small), "workspace") });
    put("a-saved", random(8 * MIB));
    const saved = await create(kit);
    const before = exactWalk(kit.workspace);
    rmSync(join(kit.workspace, "a-saved"));
    put("z-later", random(10 * MIB));
    fill(small?.path ?? "", 4 * MIB);
    expect(await failureOf(kit.service.restore({ id: saved.id }))).toMatchObject({
      code: "no_space",
    });
    const done = await kit.service.restore({ id: saved.id, force: true });
    expect(done.warnings).toEqual([]);
    expect(exactWalk(kit.workspace)).toEqual(before);
  },
  60_000,
);

test.skipIf(!small)(
  "a read-only workspace is saved, and its restore refused in one word",
  async () => {
    const root = roomOn(undefined);
    kit = createKit({ root, workspace: join(roomOn(small), "workspace") });
    put("a", "one");
    const saved = await create(kit);
    put("a", "two");
    small?.remount("ro");
    const second = await create(kit);
    expect(second).toMatchObject({ status: "ok", verified: true });
    expect(await failureOf(kit.service.restore({ id: saved.id }))).toMatchObject({
      code: "read_only",
    });
    expect(await kit.service.diff(second.id)).toEqual([]);
    small?.remount("rw");
    await kit.service.restore({ id: saved.id });
    expect(await kit.service.diff(saved.id)).toEqual([]);
  },
);

test.skipIf(!small)(
  "a read-only data directory fails the checkpoint, and what was saved is there afterwards",
  async () => {
    const elsewhere = roomOn(undefined);
    kit = createKit({ root: roomOn(small), workspace: join(elsewhere, "workspace") });
    put("a", "one");
    const saved = await create(kit);
    small?.remount("ro");
    put("a", "two");
    const second = await create(kit);
    expect(second).toMatchObject({ status: "failed", verified: false });
    expect(second.error).toMatch(/EROFS|read-?only/i);
    small?.remount("rw");
    expect(await kit.service.verify(saved.id)).toMatchObject({ ok: true });
  },
);

test.skipIf(!btrfs)("on a read-only btrfs the store takes over, and says so", async () => {
  const root = roomOn(undefined);
  const place = roomOn(btrfs);
  createSubvolume(place, "workspace");
  kit = createKit({ root, workspace: join(place, "workspace") });
  put("a", "one");
  btrfs?.remount("ro");
  const saved = await create(kit);
  expect(saved).toMatchObject({ backend: "store", status: "ok", verified: true });
  expect(saved.warnings[0]).toStartWith("btrfs failed, store was used: ");
});

test("a workspace that goes away in the middle of it harms no checkpoint, and comes back whole", async () => {
  const root = roomOn(undefined);
  kit = createKit({ root });
  const { workspace } = kit;
  for (let index = 0; index < 400; index += 1) put(`d${index % 9}/${index}`, random(2_000));
  const saved = await create(kit);
  const before = exactWalk(workspace);
  const away = `${workspace}-away`;
  for (let round = 0; round < 6; round += 1) {
    for (let index = 0; index < 400; index += 3) put(`d${index % 9}/${index}`, random(2_100));
    // While it is saved, and while it is restored: moved away, at another instant each time.
    const work =
      round % 2 === 0 ? create(kit) : failureOf(kit.service.restore({ id: saved.id, force: true }));
    await Bun.sleep(60 + round * 45);
    renameSync(workspace, away);
    const outcome = await work;
    if (round % 2 === 0) expect(outcome).toHaveProperty("status");
    // A forced restore makes a removed workspace again.
    rmSync(workspace, { recursive: true, force: true });
    renameSync(away, workspace);
  }
  await kit.service.recover();
  for (const row of kit.rows.list({ status: ["ok", "partial"] }))
    expect(await kit.service.verify(row.id)).toMatchObject({ ok: true });
  expect(kit.rows.list({ status: ["pending", "unknown"] })).toEqual([]);
  await kit.service.restore({ id: saved.id });
  expect(exactWalk(workspace)).toEqual(before);
}, 60_000);
