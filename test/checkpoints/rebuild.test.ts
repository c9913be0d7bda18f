// The store's index is lost or broken, packs are damaged: what is whole stays usable, what is not is told.

import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { Database } from "bun:sqlite";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import * as fc from "fast-check";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import { mendIndex } from "../../src/checkpoints/store/rebuild.ts";
import { createKit, snapshotOf, type Kit } from "../support/checkpoint-kit.ts";
import { problemsOf, saveInProcess } from "../support/store-in-process.ts";

// Each starts dozens of helpers, and the machine may be busy.
setDefaultTimeout(60_000);

let kit: Kit;
beforeEach(() => {
  kit = createKit();
});
afterEach(() => kit.remove());

const at = (name: string): string => join(kit.workspace, name);
const put = (name: string, content: string | Uint8Array): void => {
  mkdirSync(dirname(at(name)), { recursive: true });
  writeFileSync(at(name), content);
};
const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));
const create = async (): Promise<Checkpoint> =>
  await kit.service.create({ workspace: kit.workspace, kind: "manual", reason: "manual" });
const verify = async ({ id }: Checkpoint) => await kit.service.verify(id);
const store = (name = ""): string => join(kit.directory, "store", name);
const packs = (): string[] => readdirSync(store("packs")).map((name) => store(`packs/${name}`));
const rebuilt = (): number => kit.metrics.get("observer_checkpoint_index_rebuilds_total");

/** Loses the index as a crash of the disk might: with SQLite's own files of it. */
function dropIndex(): void {
  for (const part of ["", "-journal"]) rmSync(store(`index.db${part}`), { force: true });
}

function flip(path: string, offset: number): void {
  const data = readFileSync(path);
  data[offset] = (data[offset] ?? 0) ^ 1;
  writeFileSync(path, data);
}

interface Place {
  pack: string;
  offset: number;
  stored: number;
}

function placeOf(content: Uint8Array): Place {
  const db = new Database(store("index.db"), { readonly: true });
  const hash = new Bun.CryptoHasher("sha256").update(content).digest();
  const row = db
    .query<{ pack: number; offset: number; stored: number }, [Uint8Array]>(
      "SELECT pack, offset, stored FROM blobs WHERE hash = ?",
    )
    .get(hash);
  db.close();
  if (!row) throw new Error("not stored");
  return { ...row, pack: store(`packs/${String(row.pack).padStart(6, "0")}.pack`) };
}

test("a lost index is made again by the next operation, and nothing is lost", async () => {
  for (let file = 0; file < 50; file += 1) put(`dir-${file % 5}/${file}`, random(2_000 + file));
  put("large", random(9_000_000));
  put("empty", "");
  const first = await create();
  put("later", "later");
  const second = await create();
  const before = snapshotOf(kit.workspace);
  dropIndex();
  const third = await create();
  expect(third).toMatchObject({ status: "ok", verified: true });
  expect(rebuilt()).toBe(1);
  expect(kit.logged.some((line) => line.includes("was made again from its packs"))).toBe(true);
  for (const row of [first, second, third])
    expect(await verify(row)).toMatchObject({ ok: true, problems: [] });
  rmSync(at("dir-1"), { recursive: true });
  await kit.service.restore({ id: second.id });
  expect(snapshotOf(kit.workspace)).toEqual(before);
  // Reading alone has it made again too, and deleting still frees what only the deleted one held.
  dropIndex();
  expect(await verify(first)).toMatchObject({ ok: true });
  dropIndex();
  for (const row of kit.rows.list({})) await kit.service.delete(row.id);
  expect(packs()).toEqual([]);
});

test("a broken index is set aside at the start, whatever is wrong with it", async () => {
  for (let file = 0; file < 400; file += 1) put(`f${file}`, `content ${file}`);
  const saved = await create();
  const path = store("index.db");
  const damages: (() => void)[] = [
    () => writeFileSync(path, "this is no database, and it is long enough to be read as one"),
    () => truncateSync(path, 0),
    () => truncateSync(path, 20_000),
    () => writeFileSync(path, random(100_000)),
    () => {
      // A page in the middle: it opens, and only a check of all of it finds out.
      const data = readFileSync(path);
      data.fill(0xff, 8_192, 12_288);
      writeFileSync(path, data);
    },
  ];
  for (const [index, damage] of damages.entries()) {
    damage();
    await kit.restarted().recover();
    expect(rebuilt()).toBe(index + 1);
    expect(existsSync(store("index.db.bad"))).toBe(true);
    expect(await verify(saved)).toMatchObject({ ok: true });
    expect(await create()).toMatchObject({ status: "ok", parentId: expect.any(String) });
  }
  await kit.restarted().recover();
  expect(rebuilt()).toBe(damages.length);
});

test("a lock file that is damaged holds nobody up", async () => {
  await create();
  writeFileSync(store("lock.db"), random(5_000));
  expect(await create()).toMatchObject({ status: "ok" });
});

test("damage in a pack costs only the checkpoints that need it, with the index lost too", async () => {
  const good = random(30_000);
  const bad = random(30_000);
  put("good", good);
  const first = await create();
  put("bad", bad);
  const second = await create();
  rmSync(at("bad"));
  const { pack, offset } = placeOf(bad);
  flip(pack, offset + 100);
  dropIndex();
  const third = await create();
  expect(kit.metrics.get("observer_checkpoint_blobs_lost_total")).toBe(1);
  expect(await verify(first)).toMatchObject({ ok: true });
  expect(await verify(third)).toMatchObject({ ok: true });
  expect(await verify(second)).toMatchObject({ ok: false, problems: ["corrupt: bad"] });
  expect(kit.rows.get(second.id)).toMatchObject({ status: "ok", verified: false });
  expect(kit.rows.get(second.id)?.warnings[0]).toContain("damaged: 1 problems");
  // The lost content is stored anew when it comes again, which mends the older checkpoint as well.
  put("bad", bad);
  const fourth = await create();
  expect(await verify(fourth)).toMatchObject({ ok: true });
  expect(await verify(second)).toMatchObject({ ok: true });
  expect(kit.rows.get(second.id)).toMatchObject({ verified: true, warnings: [] });
});

test("a damaged head costs one blob, the ones behind it are found", async () => {
  const contents = [1, 2, 3, 4].map(() => random(20_000));
  for (const [index, content] of contents.entries()) put(`f${index}`, content);
  await create();
  const { pack, offset } = placeOf(contents[1] ?? new Uint8Array());
  flip(pack, offset - 30);
  dropIndex();
  const row = await create();
  expect(row).toMatchObject({ status: "ok", verified: true });
  expect(await verify(row)).toMatchObject({ ok: true });
  // Nothing of the other three was stored again.
  const size = packs().reduce((sum, path) => sum + statSync(path).size, 0);
  expect(size).toBeLessThan(105_000);
});

test("a pack that is gone costs only the checkpoints that need it, and its content is not reused", async () => {
  const content = random(50_000);
  put("kept", content);
  const first = await create();
  for (const path of packs()) rmSync(path);
  put("new", "new");
  const second = await create();
  expect(second).toMatchObject({ status: "ok", verified: true });
  expect(await verify(second)).toMatchObject({ ok: true });
  // What it needs was read anew from the workspace; the first one's own list of files is gone.
  expect(await verify(first)).toMatchObject({ ok: false, problems: ["corrupt: the manifest"] });
});

test("without its packs and its index a store starts anew; what was listed is told as damaged", async () => {
  put("a", "a");
  const saved = await create();
  rmSync(store(), { recursive: true });
  expect(await verify(saved)).toMatchObject({ ok: false, problems: ["corrupt: the manifest"] });
  expect(await create()).toMatchObject({ status: "ok", verified: true });
});

test("making the index again can itself be interrupted", async () => {
  put("a", random(10_000));
  const saved = await create();
  dropIndex();
  writeFileSync(store("index.db.new"), random(50_000));
  writeFileSync(store("index.db.new-journal"), random(5_000));
  await kit.restarted().recover();
  expect(await verify(saved)).toMatchObject({ ok: true });
  expect(readdirSync(store()).filter((name) => name.includes(".new"))).toEqual([]);
});

/** Writes the pack as observer 0.1 did: blobs one after the other, without heads. */
function withoutHeads(): void {
  const db = new Database(store("index.db"));
  const [path = ""] = packs();
  const data = readFileSync(path);
  const rows = db
    .query<{ hash: Uint8Array; offset: number; stored: number }, []>(
      "SELECT hash, offset, stored FROM blobs ORDER BY offset",
    )
    .all();
  const old: Buffer[] = [];
  let end = 0;
  for (const { hash, offset, stored } of rows) {
    old.push(data.subarray(offset, offset + stored));
    db.query("UPDATE blobs SET offset = ? WHERE hash = ?").run(end, hash);
    end += stored;
  }
  db.query("UPDATE packs SET bytes = ?").run(end);
  db.close();
  writeFileSync(path, Buffer.concat(old));
}

test("packs of observer 0.1 are read, added to in a new pack, and set aside when the index is lost", async () => {
  put("old", random(20_000));
  const saved = await create();
  withoutHeads();
  expect(await verify(saved)).toMatchObject({ ok: true });
  put("new", random(20_000));
  const later = await create();
  expect(packs()).toHaveLength(2);
  for (const row of [saved, later]) expect(await verify(row)).toMatchObject({ ok: true });
  dropIndex();
  const after = await create();
  expect(await verify(after)).toMatchObject({ ok: true });
  expect(packs().some((path) => path.endsWith(".pack.bad"))).toBe(true);
});

test("whatever bytes are flipped and cut, reading tells the truth and the next checkpoint is whole", () => {
  const contents = Array.from({ length: 12 }, (_, index) => random(3_000 + index * 500));
  for (const [index, content] of contents.entries()) put(`d${index % 3}/${index}`, content);
  const saved = saveInProcess(kit);
  const [pack = ""] = packs();
  const sound = readFileSync(pack);
  const index = readFileSync(store("index.db"));
  fc.assert(
    fc.property(
      fc.array(fc.nat(sound.length - 1), { minLength: 1, maxLength: 6 }),
      fc.option(fc.nat(sound.length)),
      fc.boolean(),
      (flips, cut, lost) => {
        rmSync(store("packs"), { recursive: true });
        mkdirSync(store("packs"));
        const data = Buffer.from(sound);
        for (const offset of flips) data[offset] = (data[offset] ?? 0) ^ 0x40;
        writeFileSync(pack, cut === null ? data : data.subarray(0, cut));
        dropIndex();
        if (!lost) writeFileSync(store("index.db"), index);
        const { id, workspace, ref, identity } = saved;
        const known = [{ id, workspace, ref: ref ?? "", identity, verified: true }];
        const done = mendIndex(store(), { known, thorough: true }, 1_000);
        expect(done === null).toBe(!lost);
        problemsOf(kit, saved);
        const next = saveInProcess(kit);
        expect(problemsOf(kit, next)).toEqual([]);
        // The same tree again: every piece was stored anew, so the first one is whole too.
        expect(problemsOf(kit, saved)).toEqual([]);
      },
    ),
    { numRuns: 25 },
  );
});
