// What a checkpoint covers, refuses, lists, and leaves alone.

import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { ObserverError } from "../../src/core/errors.ts";
import { createKit, snapshotOf, type Kit, failureOf } from "../support/checkpoint-kit.ts";

let kit: Kit;
beforeEach(() => {
  kit = createKit({ fileBytesMax: 10_000, exclude: ["*.secret", "build/out"] });
});
afterEach(() => kit.remove());

const manual = { kind: "manual", reason: "manual" } as const;
const at = (name: string): string => join(kit.workspace, name);
const put = (name: string, content: string): void => {
  mkdirSync(dirname(at(name)), { recursive: true });
  writeFileSync(at(name), content);
};

test("create refuses paths that are no workspace, and names the path and the rule", async () => {
  writeFileSync(join(kit.root, "file"), "");
  const refused = [
    "/",
    "/root",
    homedir(),
    "/home",
    "/home/somebody-who-is-not-there",
    "/etc",
    "/etc/ssl",
    "/usr",
    "/usr/bin",
    "/var",
    "/boot",
    "/proc",
    "/proc/self",
    "/sys",
    "/dev",
    "/run",
    "/tmp",
    "/tmp/",
    "/tmp/../tmp",
    "/bin",
    "/sbin",
    "/lib",
    "/opt",
    "relative/path",
    "",
    ".",
    `${kit.workspace}\0x`,
    join(kit.root, "missing"),
    join(kit.root, "file"),
    kit.root,
    kit.directory,
    join(kit.root, "data"),
  ];
  for (const path of refused) {
    const error = await failureOf(kit.service.create({ workspace: path, ...manual }));
    expect(error).toBeInstanceOf(ObserverError);
    expect(error).toMatchObject({ code: "refused_path" });
    expect((error as ObserverError).message).toContain(JSON.stringify(path));
    expect((await kit.service.inspect(path)).backend).toBeNull();
  }
  expect(kit.rows.list({ includeDeleted: true })).toEqual([]);
});

test("allowAnyPath permits a refused path, but never one around the data directory", async () => {
  const service = kit.restarted({ allowAnyPath: ["/opt", kit.root] });
  expect(await service.inspect("/opt")).toMatchObject({ backend: "store" });
  expect((await service.inspect(kit.root)).backend).toBeNull();
});

test("create resolves a symlinked workspace", async () => {
  put("a", "x");
  symlinkSync(kit.workspace, join(kit.root, "link"));
  const saved = await kit.service.create({ workspace: join(kit.root, "link"), ...manual });
  expect(saved).toMatchObject({ workspace: kit.workspace, status: "ok" });
  expect(saved.identity).toMatch(/^\d+:\d+$/);
});

test("excludes and special files are listed and leave it ok; what is too large makes it partial", async () => {
  put("kept.txt", "x");
  put("node_modules/dep/index.js", "x");
  put(".venv/bin/python", "x");
  put("env/pyvenv.cfg", "x");
  put("cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n# cache");
  put("not-a-cache/CACHEDIR.TAG", "something else");
  put("pkg/__pycache__/m.pyc", "x");
  put("deep/key.secret", "x");
  put("build/out/app", "x");
  put("other/build/out/app", "x");
  Bun.spawnSync(["mkfifo", at("fifo")]);
  const saved = await kit.service.create({ workspace: kit.workspace, ...manual });
  expect(saved.status).toBe("ok");
  expect(saved.files).toBe(3);
  expect(saved.skipped.map((skip) => skip.path).toSorted()).toEqual([
    ".venv",
    "build/out",
    "cache",
    "deep/key.secret",
    "env",
    "fifo",
    "node_modules",
    "pkg/__pycache__",
  ]);
  expect(saved.skipped.every((skip) => skip.listedOnly)).toBe(true);

  put("large.bin", "x".repeat(10_001));
  const partial = await kit.service.create({ workspace: kit.workspace, ...manual });
  expect(partial.status).toBe("partial");
  expect(partial.skipped.find((skip) => !skip.listedOnly)).toEqual({
    path: "large.bin",
    reason: "too large: 10001 bytes, the limit is 10000",
    listedOnly: false,
  });
});

test("restore never touches what the checkpoint does not cover, also where that came later", async () => {
  put("kept.txt", "one");
  put("large.bin", "x".repeat(20_000));
  put("node_modules/dep/index.js", "one");
  const saved = await kit.service.create({ workspace: kit.workspace, ...manual });
  put("kept.txt", "two");
  put("large.bin", "y".repeat(20_000));
  put("later-large.bin", "z".repeat(20_000));
  put("node_modules/dep/index.js", "two");
  put("later/node_modules/dep.js", "two");
  put("later/file", "two");
  put("later/key.secret", "two");
  const done = await kit.service.restore({ id: saved.id });
  expect(readFileSync(at("kept.txt"), "utf8")).toBe("one");
  expect(readFileSync(at("large.bin"), "utf8")[0]).toBe("y");
  expect(existsSync(at("later-large.bin"))).toBe(true);
  expect(readFileSync(at("node_modules/dep/index.js"), "utf8")).toBe("two");
  expect(existsSync(at("later/node_modules/dep.js"))).toBe(true);
  expect(existsSync(at("later/key.secret"))).toBe(true);
  expect(existsSync(at("later/file"))).toBe(false);
  expect(done.untouched).toBe(5);
});

test("restore covers what the checkpoint holds even when today's rules would leave it out", async () => {
  put("build/a", "one");
  put("grows", "small");
  const saved = await kit.service.create({ workspace: kit.workspace, ...manual });
  const before = snapshotOf(kit.workspace);
  put("build/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55");
  put("build/a", "two");
  put("build/new", "two");
  put("grows", "g".repeat(30_000));
  const damaged = snapshotOf(kit.workspace);
  const done = await kit.service.restore({ id: saved.id });
  expect(snapshotOf(kit.workspace)).toEqual(before);
  await kit.service.restore({ id: done.safety_id ?? "" });
  expect(snapshotOf(kit.workspace)).toEqual(damaged);
});

test("caps on count and size leave a partial checkpoint that lists every path", async () => {
  for (const name of ["a", "b", "c", "d"]) put(`dir/${name}`, name.repeat(100));
  const few = kit.restarted({ filesMax: 3 });
  const saved = await few.create({ workspace: kit.workspace, ...manual });
  expect(saved).toMatchObject({ status: "partial", files: 2 });
  expect(saved.skipped.map((skip) => skip.path)).toEqual(["dir/c", "dir/d"]);
  const small = await kit
    .restarted({ totalBytesMax: 250 })
    .create({ workspace: kit.workspace, ...manual });
  expect(small).toMatchObject({ status: "partial", files: 2, bytes: 200 });
});

test("an unchanged tree gives its own row with the same content and its parent", async () => {
  put("a", "x");
  put("b/c", "y");
  const first = await kit.service.create({ workspace: kit.workspace, ...manual });
  const second = await kit.service.create({ workspace: kit.workspace, ...manual });
  expect(first.parentId).toBeNull();
  expect(second).toMatchObject({
    parentId: first.id,
    ref: first.ref,
    status: "ok",
    verified: true,
  });
  expect(second.id).not.toBe(first.id);
});

test("a change that keeps size and mtime is still seen", async () => {
  put("a", "one");
  utimesSync(at("a"), 1_600_000_000, 1_600_000_000);
  await Bun.sleep(1_100);
  await kit.service.create({ workspace: kit.workspace, ...manual });
  const first = await kit.service.create({ workspace: kit.workspace, ...manual });
  put("a", "two");
  utimesSync(at("a"), 1_600_000_000, 1_600_000_000);
  const [change] = await kit.service.diff(first.id);
  expect(change).toMatchObject({ path: "a", change: "modified", what: ["content"] });
  const second = await kit.service.create({ workspace: kit.workspace, ...manual });
  expect(second.ref).not.toBe(first.ref);
});

test("large files in several chunks and hard links come back", async () => {
  const service = kit.restarted({ fileBytesMax: 100_000_000 });
  const big = Buffer.alloc(9 * 1024 * 1024 + 17, "0123456789abcdef-");
  writeFileSync(at("big"), big);
  linkSync(at("big"), at("big-link"));
  const saved = await service.create({ workspace: kit.workspace, ...manual });
  expect(saved.warnings).toEqual([]);
  const before = snapshotOf(kit.workspace);
  truncateSync(at("big"), 100);
  await service.restore({ id: saved.id });
  expect(snapshotOf(kit.workspace)).toEqual(before);
  expect(readFileSync(at("big")).equals(big)).toBe(true);
});

test("deep trees are saved to the limit of depth, and the rest is listed", async () => {
  put(`${"d/".repeat(300)}bottom`, "x");
  const saved = await kit.service.create({ workspace: kit.workspace, ...manual });
  expect(saved.status).toBe("partial");
  expect(saved.skipped).toEqual([
    { path: `${"d/".repeat(256)}d`, reason: "deeper than 256 levels", listedOnly: false },
  ]);
  put("d/file", "later");
  await kit.service.restore({ id: saved.id });
  expect(existsSync(at("d/file"))).toBe(false);
  expect(existsSync(at(`${"d/".repeat(300)}bottom`))).toBe(true);
});

test("restore of a path changes only what is below it", async () => {
  put("src/a", "one");
  put("src/sub/b", "one");
  put("docs/c", "one");
  const saved = await kit.service.create({ workspace: kit.workspace, ...manual });
  rmSync(at("src"), { recursive: true });
  put("docs/c", "two");
  const done = await kit.service.restore({ id: saved.id, path: "src/sub" });
  expect(readFileSync(at("src/sub/b"), "utf8")).toBe("one");
  expect(existsSync(at("src/a"))).toBe(false);
  expect(readFileSync(at("docs/c"), "utf8")).toBe("two");
  expect(done.changes.map((change) => change.path)).toEqual(["src", "src/sub", "src/sub/b"]);
  for (const path of ["../x", "/etc", "a/../../b", "a\0b"])
    expect(await failureOf(kit.service.restore({ id: saved.id, path }))).toMatchObject({
      code: "invalid",
    });
});
