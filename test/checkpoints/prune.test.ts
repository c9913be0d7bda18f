// Retention carried out on real stores: what goes, what stays, and what is left when it is cut short.

import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Checkpoint, CheckpointKind } from "../../src/core/checkpoint.ts";
import { createKit, failureOf, HELPER, type Kit } from "../support/checkpoint-kit.ts";
import { damageOf } from "../support/store-in-process.ts";

// Each starts dozens of helpers, and the machine may be busy.
setDefaultTimeout(60_000);

let kit: Kit;
beforeEach(() => {
  kit = createKit();
});
afterEach(() => kit.remove());

const DAY = 86_400_000;
/** More than any disk has free: whatever can be pruned is. */
const NO_ROOM = { keepFreeBytes: Number.MAX_SAFE_INTEGER, keepFreePercent: 100 };

const put = (name: string, content: string | Uint8Array): void => {
  const path = join(kit.workspace, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
};
const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));
const create = async (kind: CheckpointKind = "manual"): Promise<Checkpoint> =>
  await kit.service.create({ workspace: kit.workspace, kind, reason: "test" });
const stored = (): number => {
  const packs = join(kit.directory, "store/packs");
  return readdirSync(packs).reduce((sum, name) => sum + statSync(join(packs, name)).size, 0);
};
/** As if it had been taken then. */
const age = (row: Checkpoint, ms: number): void =>
  kit.rows.update({ ...(kit.rows.get(row.id) ?? row), createdMs: row.createdMs - ms });
const statuses = (rows: Checkpoint[]): (string | undefined)[] =>
  rows.map(({ id }) => kit.rows.get(id)?.status);
test("a round removes what is too old or too many, gives the space back, and leaves the rest whole", async () => {
  const rows: Checkpoint[] = [];
  for (const bytes of [600_000, 100_000, 600_000, 100_000, 100_000]) {
    put("file", random(bytes));
    rows.push(await create());
  }
  const [first, second, third] = rows;
  if (!first || !second || !third) throw new Error("five were taken");
  age(first, 31 * DAY);
  await kit.service.pin(second.id, true);
  const service = kit.restarted({ keep: { count: 2 } });
  expect(await service.retention.plan()).toMatchObject([
    { id: first.id, reason: "age" },
    { id: third.id, reason: "count" },
  ]);
  expect(statuses(rows)).toEqual(["ok", "ok", "ok", "ok", "ok"]);
  await service.retention.round();
  expect(statuses(rows)).toEqual(["deleted", "ok", "deleted", "ok", "ok"]);
  expect(damageOf(kit)).toEqual({});
  expect(stored()).toBeLessThan(400_000);
  expect(kit.metrics.get("observer_checkpoints_pruned_total", { reason: "age" })).toBe(1);
  expect(kit.metrics.get("observer_checkpoints_pruned_total", { reason: "count" })).toBe(1);
  expect(kit.metrics.get("observer_checkpoint_freed_bytes_total")).toBeGreaterThan(1_000_000);
  expect(readdirSync(join(kit.directory, "deletes"))).toEqual([]);
});

test("prune answers what it removed and why; with dryRun it removes nothing; a workspace limits it", async () => {
  const other = join(kit.root, "other");
  mkdirSync(other);
  put("a", "1");
  const mine = [await create(), await create()];
  const theirs: Checkpoint[] = [];
  for (let index = 0; index < 2; index += 1)
    theirs.push(await kit.service.create({ workspace: other, kind: "manual", reason: "test" }));
  const service = kit.restarted({ keep: { count: 1 } });
  const expected = [{ id: mine[0]?.id ?? "", workspace: kit.workspace, reason: "count", bytes: 1 }];
  expect(await service.prune({ dryRun: true, workspace: kit.workspace })).toEqual({
    items: expected,
    dry_run: true,
    freed_bytes: 0,
    failed: [],
  } as never);
  expect(statuses(mine)).toEqual(["ok", "ok"]);
  const done = await service.prune({ workspace: kit.workspace });
  expect(done).toMatchObject({ items: expected, dry_run: false, failed: [] });
  expect(statuses([...mine, ...theirs])).toEqual(["deleted", "ok", "ok", "ok"]);
  expect(damageOf(kit)).toEqual({});
});

test("failed rows age out", async () => {
  put("a", "1");
  const kept = await create();
  const failed = await kit
    .restarted({ helperCommand: ["/bin/true"] })
    .create({ workspace: kit.workspace, kind: "auto", reason: "test" });
  expect(failed.status).toBe("failed");
  await kit.service.retention.round();
  expect(statuses([kept, failed])).toEqual(["ok", "failed"]);
  age(failed, 31 * DAY);
  await kit.service.retention.round();
  expect(statuses([kept, failed])).toEqual(["ok", "deleted"]);
});

test("without room older ones give way, the newest stays, and the next is refused with the reason", async () => {
  put("a", random(1_000));
  const rows = [await create("auto"), await create("safety"), await create(), await create()];
  const service = kit.restarted({ keep: NO_ROOM });
  const error = await failureOf(
    service.create({ workspace: kit.workspace, kind: "auto", reason: "test" }),
  );
  expect(error).toMatchObject({ code: "no_space" });
  expect(String(error)).toContain("must stay free, and no checkpoint is left that may be pruned");
  expect(statuses(rows)).toEqual(["deleted", "deleted", "deleted", "ok"]);
  const [refused] = kit.rows.list({ limit: 1 });
  expect(refused).toMatchObject({
    status: "failed",
    error: expect.stringContaining("Cannot save"),
  });
  expect(damageOf(kit)).toEqual({});
  // The look of every minute says it too.
  expect(await service.inspect(kit.workspace)).toMatchObject({ backend: null, unsure: false });
  expect(await kit.service.inspect(kit.workspace)).toMatchObject({ backend: "store" });
});

test("the store's size is a bound: the oldest give way until it holds", async () => {
  const rows: Checkpoint[] = [];
  for (let index = 0; index < 6; index += 1) {
    put("file", random(500_000));
    rows.push(await create());
  }
  // Index and reserve count too.
  const service = kit.restarted({ keep: { storeBytes: 6 * 1024 * 1024 } });
  const used = (): number => kit.metrics.get("observer_checkpoint_store_bytes");
  await service.retention.round();
  await service.retention.plan();
  expect(used()).toBeLessThan(6 * 1024 * 1024);
  expect(kit.rows.get(rows[0]?.id ?? "")?.status).toBe("deleted");
  expect(kit.rows.get(rows[5]?.id ?? "")?.status).toBe("ok");
  expect(damageOf(kit)).toEqual({});
});

/** A helper that hangs in one operation until the file appears, and does all others. */
function hanging(operation: string, until = "/nonexistent"): string[] {
  const script = join(kit.root, `hang-${operation}.sh`);
  writeFileSync(
    script,
    `request=$(cat); case "$request" in *'"op":"${operation}"'*) while [ ! -e ${until} ]; do sleep 0.05; done;; esac; printf %s "$request" | ${HELPER.join(" ")}\n`,
  );
  return ["/bin/sh", script];
}

test("what a comparison, a verification or an open restore works on is not pruned", async () => {
  put("a", "1");
  const rows = [await create(), await create(), await create()];
  const [first, second] = rows;
  if (!first || !second) throw new Error("three were taken");
  const go = join(kit.root, "go");
  mkdirSync(join(kit.directory, "restores"), { recursive: true });
  writeFileSync(join(kit.directory, "restores", `${second.id}-none.json`), "{}");
  for (const operation of ["diff", "verify"] as const) {
    const service = kit.restarted({ keep: { count: 1 }, helperCommand: hanging(operation, go) });
    const reading = service[operation](first.id);
    await service.retention.round();
    expect(statuses(rows)).toEqual(["ok", "ok", "ok"]);
    writeFileSync(go, "");
    await reading;
    rmSync(go);
  }
  await kit.restarted({ keep: { count: 1 } }).retention.round();
  expect(statuses(rows)).toEqual(["deleted", "ok", "ok"]);
});

test("a checkpoint does not wait for pruning: that is ended, and begun again later", async () => {
  put("a", "1");
  const rows = [await create(), await create(), await create()];
  const service = kit.restarted({ keep: { count: 1 }, helperCommand: hanging("delete") });
  const round = service.retention.round();
  for (
    let wait = 0;
    wait < 200 && !kit.logged.some((line) => line.includes("gave way"));
    wait += 1
  ) {
    const taken = await service.create({ workspace: kit.workspace, kind: "auto", reason: "test" });
    expect(taken.status).toBe("ok");
  }
  await round;
  expect(statuses(rows)).toEqual(["ok", "ok", "ok"]);
  expect(kit.metrics.get("observer_checkpoint_prune_failures_total")).toBe(0);
  await kit.restarted({ keep: { count: 1 } }).retention.round();
  expect(statuses(rows)).toEqual(["deleted", "deleted", "deleted"]);
  expect(damageOf(kit)).toEqual({});
});

test("at the end nobody waits for retention or a scrub", async () => {
  put("a", "1");
  const rows = [await create(), await create()];
  const service = kit.restarted({
    keep: { count: 1 },
    scrub: { everyMs: 1, bytesPerSecond: 1 },
    helperCommand: hanging("delete"),
  });
  const slow = kit.restarted({
    scrub: { everyMs: 1, bytesPerSecond: 1 },
    helperCommand: hanging("verify"),
  });
  const work = Promise.all([service.retention.round(), slow.scrub()]);
  await Bun.sleep(300);
  service.endBackground();
  slow.endBackground();
  await work;
  await service.retention.round();
  expect(statuses(rows)).toEqual(["ok", "ok"]);
});

test("a deletion that was begun is finished by the next start, and nobody reads the checkpoint in between", async () => {
  put("a", "1");
  const rows = [await create(), await create()];
  const [first] = rows;
  if (!first) throw new Error("two were taken");
  mkdirSync(join(kit.directory, "deletes"));
  writeFileSync(join(kit.directory, "deletes", first.id), "");
  writeFileSync(join(kit.directory, "deletes", "unknown0000"), "");
  const service = kit.restarted();
  for (const refused of [
    service.diff(first.id),
    service.verify(first.id),
    service.restore({ id: first.id }),
    service.pin(first.id, true),
  ])
    expect(await failureOf(refused)).toMatchObject({ code: "conflict" });
  await service.recover();
  expect(statuses(rows)).toEqual(["deleted", "ok"]);
  expect(readdirSync(join(kit.directory, "deletes"))).toEqual([]);
});

test("one that cannot be removed keeps no other from it, and is told", async () => {
  put("a", "1");
  const rows = [await create(), await create(), await create()];
  const broken = kit.restarted({
    keep: { count: 1 },
    helperCommand: hanging("delete"),
    storeDeadlineMs: 300,
  });
  const result = await broken.prune({});
  expect(result.items).toEqual([]);
  expect(result.failed.map(({ id }) => id).sort()).toEqual(
    rows
      .slice(0, 2)
      .map(({ id }) => id)
      .sort(),
  );
  expect(kit.metrics.get("observer_checkpoint_prune_failures_total")).toBe(2);
  expect((await kit.restarted({ keep: { count: 1 } }).prune({})).items).toHaveLength(2);
});

test("scrub reads one back when it is due, the longest unread first, and tells damage once", async () => {
  put("a", random(5_000));
  const first = await create();
  put("a", random(5_000));
  const second = await create();
  const pack = join(kit.directory, "store/packs/000001.pack");
  const data = readFileSync(pack);
  data.fill(0, 200, 3_000);
  writeFileSync(pack, data);
  const service = kit.restarted({ scrub: { everyMs: 1, bytesPerSecond: 10_000_000 } });
  const scrubs = (result: string): number =>
    kit.metrics.get("observer_checkpoint_scrubs_total", { result });
  await service.scrub();
  expect(scrubs("damaged")).toBe(1);
  expect(kit.rows.get(first.id)).toMatchObject({ status: "ok", verified: false });
  await Bun.sleep(5);
  await service.scrub();
  expect(scrubs("ok")).toBe(1);
  expect(kit.rows.get(second.id)).toMatchObject({ verified: true });
  await Bun.sleep(5);
  await service.scrub();
  expect(scrubs("damaged")).toBe(2);
  expect(kit.logged.filter((line) => line.includes("checkpoint is damaged"))).toHaveLength(1);
  // Not due, and switched off.
  await kit.restarted({ scrub: { everyMs: DAY, bytesPerSecond: 1 } }).scrub();
  await kit.restarted({ scrub: { everyMs: 0, bytesPerSecond: 1 } }).scrub();
  expect(scrubs("ok") + scrubs("damaged")).toBe(3);
});

test("prune, checkpoints and verifications at the same time leave every listed one whole", async () => {
  const service = kit.restarted({ keep: { count: 2 } });
  const workspaces = ["w1", "w2"].map((name) => join(kit.root, name));
  for (const path of workspaces) mkdirSync(path);
  const work = workspaces.map(async (workspace) => {
    for (let round = 0; round < 4; round += 1) {
      writeFileSync(join(workspace, `f${round}`), random(100_000));
      if (round > 1) rmSync(join(workspace, `f${round - 2}`));
      const row = await service.create({ workspace, kind: "auto", reason: "test" });
      expect(row).toMatchObject({ status: "ok", verified: true });
    }
  });
  const pruning = (async () => {
    for (let round = 0; round < 4; round += 1) await service.retention.round();
  })();
  await Promise.all([...work, pruning]);
  await service.recover();
  await service.retention.round();
  expect(damageOf(kit)).toEqual({});
  expect(kit.rows.list({ status: ["ok"] })).toHaveLength(4);
  expect(existsSync(join(kit.directory, "store/reserve"))).toBe(true);
});
