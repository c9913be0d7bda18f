// What becomes of checkpoints when disks, helpers, restores or workspaces break.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import { exportTo } from "../../src/checkpoints/export-to.ts";
import { createKit, HELPER, snapshotOf, type Kit, failureOf } from "../support/checkpoint-kit.ts";

let kit: Kit;
beforeEach(() => {
  kit = createKit();
});
afterEach(() => kit.remove());

const manual = { kind: "manual", reason: "manual" } as const;
const at = (name: string): string => join(kit.workspace, name);
const put = (name: string, content: string | Uint8Array): void => {
  mkdirSync(dirname(at(name)), { recursive: true });
  writeFileSync(at(name), content);
};
const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));
const packs = (): string[] =>
  readdirSync(join(kit.directory, "store/packs")).map((name) =>
    join(kit.directory, "store/packs", name),
  );
const create = async (): Promise<Checkpoint> =>
  await kit.service.create({ workspace: kit.workspace, ...manual });

/** Where a file's content lies in the store. */
function placeOf(content: Uint8Array): { offset: number; stored: number } {
  const db = new Database(join(kit.directory, "store/index.db"), { readonly: true });
  const hash = new Bun.CryptoHasher("sha256").update(content).digest();
  const row = db
    .query<{ offset: number; stored: number }, [Uint8Array]>(
      "SELECT offset, stored FROM blobs WHERE hash = ?",
    )
    .get(hash);
  db.close();
  if (!row) throw new Error("not stored");
  return row;
}

test("the store is private", async () => {
  put("a", "secret");
  await create();
  for (const path of [
    kit.directory,
    join(kit.directory, "store"),
    join(kit.directory, "store/packs"),
  ])
    expect(statSync(path).mode & 0o777).toBe(0o700);
  for (const path of [
    ...packs(),
    join(kit.directory, "store/index.db"),
    join(kit.directory, "store/lock.db"),
  ])
    expect(statSync(path).mode & 0o777).toBe(0o600);
});

test("verify finds a flipped bit and names only the files and checkpoints that it hit", async () => {
  put("good", random(1000));
  const first = await create();
  const bytes = random(1000);
  put("bad", bytes);
  const second = await create();
  const [pack = ""] = packs();
  const data = readFileSync(pack);
  const { offset } = placeOf(bytes);
  data[offset + 500] = (data[offset + 500] ?? 0) ^ 1;
  writeFileSync(pack, data);
  expect(await kit.service.verify(first.id)).toMatchObject({ ok: true, problems: [] });
  expect(await kit.service.verify(second.id)).toMatchObject({
    ok: false,
    problems: ["corrupt: bad"],
  });

  rmSync(at("bad"));
  const error = await kit.service.restore({ id: second.id }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code: "corrupt" });
  expect(existsSync(at("bad"))).toBe(false);

  // The next capture of the same content mends it.
  put("bad", bytes);
  await create();
  expect(await kit.service.verify(second.id)).toMatchObject({ ok: true });
});

test("verify finds a pack that was cut short, and the store still takes checkpoints", async () => {
  put("first", random(1000));
  const first = await create();
  const bytes = random(1000);
  put("second", bytes);
  const second = await create();
  const [pack = ""] = packs();
  truncateSync(pack, placeOf(bytes).offset + 10);
  expect(await kit.service.verify(first.id)).toMatchObject({ ok: true });
  const report = await kit.service.verify(second.id);
  expect(report.ok).toBe(false);
  expect(report.problems.every((problem) => problem.startsWith("corrupt: "))).toBe(true);
  put("third", "new content");
  const third = await create();
  expect(third).toMatchObject({ status: "ok", verified: true });
  expect(await kit.service.verify(third.id)).toMatchObject({ ok: true });
});

test("restore does not follow a symlink that took a directory's place", async () => {
  const outside = join(kit.root, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "victim"), "untouched");
  writeFileSync(join(outside, "extra"), "untouched");
  put("dir/victim", "saved");
  put("dir/deep/victim", "saved");
  const saved = await create();
  const before = snapshotOf(kit.workspace);
  const beforeOutside = snapshotOf(outside);
  rmSync(at("dir"), { recursive: true });
  symlinkSync(outside, at("dir"));
  await kit.service.restore({ id: saved.id });
  expect(snapshotOf(kit.workspace)).toEqual(before);
  expect(snapshotOf(outside)).toEqual(beforeOutside);

  // The other way round: a directory that came later gives way to the symlink.
  rmSync(at("dir"), { recursive: true });
  symlinkSync(outside, at("dir"));
  const linked = await create();
  rmSync(at("dir"));
  put("dir/new", "x");
  await kit.service.restore({ id: linked.id });
  expect(snapshotOf(outside)).toEqual(beforeOutside);
  expect(existsSync(at("dir/victim"))).toBe(true);
});

test("capture does not read through a symlinked directory", async () => {
  const outside = join(kit.root, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "secret"), "secret");
  symlinkSync(outside, at("link"));
  expect(await create()).toMatchObject({ files: 1, bytes: 0 });
});

test("the store survives kill -9 of the helper at any moment", async () => {
  put("base", "base");
  const first = await create();
  for (let round = 0; round < 10; round += 1) {
    for (let file = 0; file < 60; file += 1) put(`round-${round}/${file}`, random(20_000));
    // From before the program has started to after it is done.
    const service = kit.restarted({ storeDeadlineMs: 10 + round * 15 });
    const row = await service.create({ workspace: kit.workspace, ...manual });
    expect(["unknown", "ok", "failed"]).toContain(row.status);
    if (row.status === "unknown") {
      await kit.service.recover();
      const settled = kit.rows.get(row.id);
      expect(["ok", "failed"]).toContain(settled?.status ?? "");
      if (settled?.status === "ok") expect(settled.verified).toBe(true);
    }
  }
  const last = await create();
  expect(last).toMatchObject({ status: "ok", verified: true });
  for (const row of kit.rows.list({ status: ["ok"] }))
    expect(await kit.service.verify(row.id)).toMatchObject({ ok: true });
  const before = snapshotOf(kit.workspace);
  await kit.service.restore({ id: first.id });
  expect(readdirSync(kit.workspace)).toEqual(["base"]);
  await kit.service.restore({ id: last.id });
  expect(snapshotOf(kit.workspace)).toEqual(before);
}, 60_000);

test("a helper that hangs ends in unknown within the deadline, and its process group is dead", async () => {
  put("a", "x");
  const pids = join(kit.root, "pids");
  const script = join(kit.root, "hang.sh");
  // Answers `inspect` as the real one does, and hangs with a child of its own in `create`.
  writeFileSync(
    script,
    `request=$(cat); case "$request" in *'"op":"create"'*) sleep 1000 & echo $$ $! > ${pids}; wait;; *) printf %s "$request" | ${HELPER.join(" ")};; esac\n`,
  );
  const service = kit.restarted({ helperCommand: ["/bin/sh", script], storeDeadlineMs: 700 });
  const started = performance.now();
  const row = await service.create({ workspace: kit.workspace, ...manual });
  expect(performance.now() - started).toBeLessThan(4_000);
  expect(row).toMatchObject({ status: "unknown", verified: false });
  const alive = (): string[] =>
    readFileSync(pids, "utf8")
      .trim()
      .split(" ")
      .filter((pid) => existsSync(`/proc/${pid}`))
      .filter((pid) => !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8")));
  // The kernel ends a killed process in its own time.
  for (let wait = 0; wait < 50 && alive().length > 0; wait += 1) await Bun.sleep(20);
  expect(alive()).toEqual([]);
  expect(readdirSync(join(kit.directory, "running"))).toEqual([]);
  await kit.service.recover();
  expect(kit.rows.get(row.id)?.status).toBe("failed");
});

test("a helper that cannot start, says nothing or says nonsense is a failed checkpoint, one that hangs an unknown one", async () => {
  for (const helperCommand of [["/nonexistent"], ["/bin/true"], ["/bin/echo", "nonsense"]]) {
    const service = kit.restarted({ helperCommand });
    const row = await service.create({ workspace: kit.workspace, ...manual });
    expect(row).toMatchObject({ status: "failed", verified: false, ref: null });
    expect(row.error).not.toBeNull();
    expect(kit.rows.get(row.id)).toEqual(row);
  }
  const hanging = kit.restarted({ helperCommand: ["/bin/sleep", "1000"], deadlineMs: 100 });
  const row = await hanging.create({ workspace: kit.workspace, ...manual });
  expect(row.status).toBe("unknown");
  await kit.service.recover();
  expect(kit.rows.get(row.id)?.status).toBe("failed");
});

test("recover finishes a checkpoint whose answer was lost", async () => {
  put("a", "x");
  const saved = await create();
  kit.rows.update({ ...saved, status: "pending", ref: null, verified: false, files: null });
  await kit.restarted().recover();
  expect(kit.rows.get(saved.id)).toMatchObject({
    status: "ok",
    ref: saved.ref,
    verified: true,
    files: 1,
  });
});

test("recover rolls an interrupted restore forward", async () => {
  put("a", "one");
  put("dir/b", "one");
  const saved = await create();
  const before = snapshotOf(kit.workspace);
  put("a", "two");
  put("later", "two");
  mkdirSync(join(kit.directory, "restores"));
  const journal = {
    checkpointId: saved.id,
    path: "",
    force: false,
    safetyId: null,
    startedMs: 0,
    attempts: 0,
  };
  writeFileSync(join(kit.directory, "restores/x.json"), JSON.stringify(journal));
  await kit.restarted().recover();
  expect(snapshotOf(kit.workspace)).toEqual(before);
  expect(readdirSync(join(kit.directory, "restores"))).toEqual([]);
  const [safety] = kit.rows.list({ limit: 1 });
  expect(safety).toMatchObject({ kind: "safety", status: "ok" });
});

/** Those that have their name: before that, a restore has not begun. */
function journalsOf(restores: string): string[] {
  return readdirSync(restores).filter((name) => name.endsWith(".json"));
}

test("a restore that is killed at any moment is finished by recover", async () => {
  for (let file = 0; file < 300; file += 1) put(`saved/${file % 7}/${file}`, random(5_000));
  const saved = await create();
  const before = snapshotOf(kit.workspace);
  let killed = 0;
  for (const restoreDeadlineMs of [60, 80, 110, 150, 200, 300]) {
    rmSync(at("saved/3"), { recursive: true });
    for (let file = 0; file < 300; file += 2) put(`saved/${file % 7}/${file}`, random(4_000));
    for (let file = 0; file < 100; file += 1) put(`later/${file}`, "later");
    const service = kit.restarted({ restoreDeadlineMs });
    const error = await failureOf(service.restore({ id: saved.id }));
    if (error !== undefined) {
      expect(error).toMatchObject({ code: "timeout" });
      killed += 1;
    }
    const restores = join(kit.directory, "restores");
    const journals = existsSync(restores) ? journalsOf(restores) : [];
    await kit.service.recover();
    expect(readdirSync(join(kit.directory, "restores"))).toEqual([]);
    // Killed before it began: then nothing was touched, and nothing is to be finished.
    if (error !== undefined && journals.length === 0) await kit.service.restore({ id: saved.id });
    expect(snapshotOf(kit.workspace)).toEqual(before);
  }
  expect(killed).toBeGreaterThan(0);
}, 60_000);

test("recover removes the journal of a restore that was killed before it began", async () => {
  mkdirSync(join(kit.directory, "restores"));
  writeFileSync(join(kit.directory, "restores/abc-def.json.new"), '{"checkpo');
  await kit.service.recover();
  expect(readdirSync(join(kit.directory, "restores"))).toEqual([]);
});

test("recover sets a journal aside that cannot be read, and goes on", async () => {
  const journals = join(kit.directory, "restores");
  mkdirSync(journals, { recursive: true });
  writeFileSync(join(journals, "c1-x.json"), "{");
  await kit.service.recover();
  expect(readdirSync(journals)).toEqual(["c1-x.json.given-up"]);
});

test("recover gives a restore up that cannot be finished, and leaves its journal for a person", async () => {
  mkdirSync(join(kit.directory, "restores"));
  const journal = {
    checkpointId: "none",
    path: "",
    force: false,
    safetyId: null,
    startedMs: 0,
    attempts: 0,
  };
  writeFileSync(join(kit.directory, "restores/x.json"), JSON.stringify(journal));
  for (let attempt = 0; attempt < 5; attempt += 1) await kit.service.recover();
  expect(readdirSync(join(kit.directory, "restores"))).toEqual(["x.json.given-up"]);
});

test("restore refuses another directory at the same path, and one that is gone, unless forced", async () => {
  put("a", "one");
  const saved = await create();
  const before = snapshotOf(kit.workspace, { directoryTimes: false });
  renameSync(kit.workspace, join(kit.root, "moved-away"));
  expect(await failureOf(kit.service.restore({ id: saved.id }))).toMatchObject({
    code: "vanished",
  });
  mkdirSync(kit.workspace);
  expect(await failureOf(kit.service.restore({ id: saved.id }))).toMatchObject({
    code: "identity_changed",
  });
  rmSync(kit.workspace, { recursive: true });
  await kit.service.restore({ id: saved.id, force: true });
  expect(snapshotOf(kit.workspace, { directoryTimes: false })).toEqual(before);
  rmSync(kit.workspace, { recursive: true });
  symlinkSync(join(kit.root, "moved-away"), kit.workspace);
  expect(await failureOf(kit.service.restore({ id: saved.id, force: true }))).toMatchObject({
    code: "identity_changed",
  });
  expect(readFileSync(join(kit.root, "moved-away/a"), "utf8")).toBe("one");
});

test("delete takes the space of what no other checkpoint needs back", async () => {
  put("shared", random(50_000));
  const first = await create();
  put("large", random(2_000_000));
  const second = await create();
  rmSync(at("large"));
  const third = await create();
  const size = (): number => packs().reduce((sum, pack) => sum + statSync(pack).size, 0);
  expect(size()).toBeGreaterThan(2_000_000);
  expect((await kit.service.delete(second.id)).status).toBe("deleted");
  expect(size()).toBeLessThan(100_000);
  for (const { id } of [first, third])
    expect(await kit.service.verify(id)).toMatchObject({ ok: true });
  expect(await failureOf(kit.service.verify(second.id))).toMatchObject({ code: "conflict" });
  expect((await kit.service.delete(second.id)).status).toBe("deleted");
  await kit.service.delete(first.id);
  expect(await kit.service.verify(third.id)).toMatchObject({ ok: true });
  await kit.service.delete(third.id);
  expect(packs()).toEqual([]);
  expect(await create()).toMatchObject({ status: "ok" });
});

test("delete refuses a pinned checkpoint; ids are checked", async () => {
  const saved = await create();
  expect((await kit.service.pin(saved.id, true)).pinned).toBe(true);
  expect(await failureOf(kit.service.delete(saved.id))).toMatchObject({ code: "conflict" });
  await kit.service.pin(saved.id, false);
  expect((await kit.service.delete(saved.id)).status).toBe("deleted");
  for (const id of ["../x", "A", "", "x".repeat(65), "a/b", "a\0"])
    expect(await failureOf(kit.service.verify(id))).toMatchObject({ code: "invalid" });
  expect(await failureOf(kit.service.verify("none"))).toMatchObject({ code: "not_found" });
});

test("exportTo writes a checkpoint into an empty directory", async () => {
  put("a", "one");
  put("dir/b", "two");
  symlinkSync("a", at("link"));
  const saved = await create();
  const before = snapshotOf(kit.workspace);
  const target = join(kit.root, "exported");
  const done = await exportTo({ checkpointsDirectory: kit.directory, checkpoint: saved, target });
  expect(done).toEqual({ files: 3, bytes: 6, warnings: [] });
  expect(snapshotOf(target)).toEqual(before);
  expect(
    await failureOf(exportTo({ checkpointsDirectory: kit.directory, checkpoint: saved, target })),
  ).toMatchObject({ code: "conflict" });
  const part = join(kit.root, "part");
  await exportTo({
    checkpointsDirectory: kit.directory,
    checkpoint: saved,
    target: part,
    path: "dir",
  });
  expect(readdirSync(part)).toEqual(["dir"]);
  const none = exportTo({
    checkpointsDirectory: kit.directory,
    checkpoint: saved,
    target: join(kit.root, "no"),
    path: "no",
  });
  expect(await failureOf(none)).toMatchObject({ code: "not_found" });
});
