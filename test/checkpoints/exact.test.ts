// What a restore brings back beside names and content: attributes, ACLs, hard links, holes.

import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { exportTo } from "../../src/checkpoints/export-to.ts";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import { createBlobWriter } from "../../src/checkpoints/store/blobs.ts";
import { openIndex } from "../../src/checkpoints/store/index-db.ts";
import {
  decodeManifest,
  decodeTree,
  encodeManifest,
  encodeTree,
} from "../../src/checkpoints/store/objects.ts";
import { createKit, HELPER, type Kit } from "../support/checkpoint-kit.ts";
import { asUid, canBeNobody, canNobodyRead, NOBODY } from "../support/daemon.ts";
import {
  attributesAt,
  dataOf,
  exactWalk,
  removeAttributeAt,
  setAttributeAt,
} from "../support/exact-walk.ts";
import { ACL, capability, DEFAULT_ACL } from "../support/random-tree.ts";

const isRoot = process.geteuid?.() === 0;
if (!isRoot) console.log("skipped: capabilities and the attributes of other users need root");

let kit: Kit;
beforeEach(() => {
  kit = createKit();
});
afterEach(() => kit.remove());

const at = (name: string): string => join(kit.workspace, name);
const bytes = (name: string): Buffer => Buffer.from(at(name));
const put = (name: string, content: string): void => {
  mkdirSync(dirname(at(name)), { recursive: true });
  writeFileSync(at(name), content);
};
const create = async (): Promise<Checkpoint> =>
  await kit.service.create({ workspace: kit.workspace, kind: "manual", reason: "manual" });
const inode = (name: string): number => lstatSync(at(name)).ino;

/** Restores and looks at everything; returns the warnings. */
async function restored(saved: Checkpoint, expected: Record<string, string>): Promise<string[]> {
  const done = await kit.service.restore({ id: saved.id });
  expect(exactWalk(kit.workspace)).toEqual(expected);
  return done.warnings;
}

test("attributes and ACLs of files and directories come back, and later ones go", async () => {
  put("dir/file", "x");
  put("plain", "x");
  expect(setAttributeAt(bytes("dir/file"), "user.kept", Buffer.from([0, 255, 10]))).toBe(true);
  setAttributeAt(bytes("dir/file"), "user.empty", new Uint8Array());
  setAttributeAt(bytes("dir/file"), "system.posix_acl_access", ACL);
  setAttributeAt(bytes("dir"), "system.posix_acl_default", DEFAULT_ACL);
  setAttributeAt(bytes("dir"), "user.of-directory", Buffer.from("d"));
  setAttributeAt(Buffer.from(kit.workspace), "user.of-top", Buffer.from("t"));
  put("dir/inherits", "from the default ACL");
  const before = exactWalk(kit.workspace);
  const saved = await create();
  expect(saved).toMatchObject({ status: "ok", warnings: [] });

  removeAttributeAt(bytes("dir/file"), "user.kept");
  setAttributeAt(bytes("dir/file"), "user.later", Buffer.from("l"));
  removeAttributeAt(bytes("dir"), "system.posix_acl_default");
  removeAttributeAt(bytes("dir"), "user.of-directory");
  setAttributeAt(Buffer.from(kit.workspace), "user.of-top", Buffer.from("changed"));
  setAttributeAt(bytes("plain"), "user.later", Buffer.from("l"));
  rmSync(at("dir/inherits"));
  const changes = await kit.service.diff(saved.id);
  expect(changes.map(({ path, change, what }) => [path, change, what])).toEqual([
    [".", "modified", ["xattr"]],
    ["dir", "modified", ["mtime", "xattr"]],
    ["dir/file", "modified", ["xattr"]],
    ["dir/inherits", "deleted", undefined],
    ["plain", "modified", ["xattr"]],
  ]);
  const ino = inode("dir/file");
  expect(await restored(saved, before)).toEqual([]);
  // Attributes alone are no reason to write a file anew.
  expect(inode("dir/file")).toBe(ino);
  expect(await kit.service.diff(saved.id)).toEqual([]);
});

test("a file written anew does not take over the default ACL of its directory", async () => {
  put("dir/file", "one");
  const saved = await create();
  const before = exactWalk(kit.workspace);
  setAttributeAt(bytes("dir"), "system.posix_acl_default", DEFAULT_ACL);
  put("dir/file", "two!");
  expect(await restored(saved, before)).toEqual([]);
  expect(attributesAt(bytes("dir/file"))).toEqual({});
});

test.skipIf(!isRoot)("a capability comes back after the owner, which would clear it", async () => {
  put("tool", "#!");
  chmodSync(at("tool"), 0o4755);
  expect(setAttributeAt(bytes("tool"), "security.capability", capability())).toBe(true);
  setAttributeAt(bytes("tool"), "trusted.kept", Buffer.from("t"));
  const before = exactWalk(kit.workspace);
  const saved = await create();
  put("tool", "changed");
  expect(attributesAt(bytes("tool"))["security.capability"]).toBeUndefined();
  expect(await restored(saved, before)).toEqual([]);
});

test("attributes of unchanged files are known without looking, and a change is seen", async () => {
  put("a", "x");
  setAttributeAt(bytes("a"), "user.a", Buffer.from("one"));
  // Younger files are looked at again whatever was noted.
  await Bun.sleep(1_100);
  const first = await create();
  const second = await create();
  expect(second.ref).toBe(first.ref);
  setAttributeAt(bytes("a"), "user.a", Buffer.from("two"));
  const third = await create();
  expect(third.ref).not.toBe(first.ref);
  expect((await kit.service.diff(first.id, third.id))[0]?.what).toEqual(["xattr"]);
  await kit.service.restore({ id: first.id });
  expect(attributesAt(bytes("a"))["user.a"]).toBe(Buffer.from("one").toString("base64"));
});

test("hard links are joined again, across directories, and parted where they were apart", async () => {
  put("a/one", "shared");
  mkdirSync(at("b"));
  linkSync(at("a/one"), at("b/two"));
  linkSync(at("a/one"), at("three"));
  put("apart", "same");
  put("apart-too", "same");
  symlinkSync("nowhere", at("link"));
  linkSync(at("link"), at("b/same-link"));
  const before = exactWalk(kit.workspace);
  const saved = await create();
  expect(saved.warnings).toEqual([]);

  // One name gets a file of its own, another goes, two others become one, all of it with equal content.
  rmSync(at("b/two"));
  writeFileSync(at("b/two"), "shared");
  rmSync(at("three"));
  rmSync(at("apart-too"));
  linkSync(at("apart"), at("apart-too"));
  rmSync(at("b/same-link"));
  const changes = await kit.service.diff(saved.id);
  const what = new Map(changes.map((change) => [change.path, change.what ?? [change.change]]));
  expect(what.get("apart")).toContain("links");
  expect(what.get("b/two")).toContain("links");
  expect(what.get("three")).toEqual(["deleted"]);
  expect(await restored(saved, before)).toEqual([]);
  expect(await kit.service.diff(saved.id)).toEqual([]);

  // Written through one name, all change; they come back as one file.
  writeFileSync(at("a/one"), "changed through one name");
  const done = await kit.service.restore({ id: saved.id });
  expect(exactWalk(kit.workspace)).toEqual(before);
  // The safety checkpoint has the sharing too.
  await kit.service.restore({ id: done.safety_id ?? "" });
  expect(readFileSync(at("three"), "utf8")).toBe("changed through one name");
  expect(inode("three")).toBe(inode("a/one"));
});

test("a name that came later of a file that stays is removed without touching the file", async () => {
  put("file", "x");
  const saved = await create();
  const before = exactWalk(kit.workspace);
  const ino = inode("file");
  linkSync(at("file"), at("later"));
  expect(await restored(saved, before)).toEqual([]);
  expect(inode("file")).toBe(ino);
});

test("a hard link whose other name lies outside is said, and that name is never changed", async () => {
  const outside = join(kit.root, "outside");
  writeFileSync(outside, "one");
  chmodSync(outside, 0o640);
  linkSync(outside, at("inside"));
  const saved = await create();
  expect(saved.warnings).toEqual([
    "1 files have hard links outside of what is kept, which a restore does not join again: inside",
  ]);
  chmodSync(at("inside"), 0o600);
  const { mtimeMs } = statSync(outside);
  const done = await kit.service.restore({ id: saved.id });
  expect(done.warnings).toEqual([
    "inside: is a file of its own now: other names of it are not part of this",
  ]);
  expect(statSync(at("inside")).mode & 0o777).toBe(0o640);
  expect(statSync(outside).mode & 0o777).toBe(0o600);
  expect(statSync(outside).mtimeMs).toBe(mtimeMs);
  expect(inode("inside")).not.toBe(statSync(outside).ino);
});

test("restore of one name of several leaves the others, and says so", async () => {
  put("src/a", "one");
  mkdirSync(at("docs"));
  linkSync(at("src/a"), at("docs/a"));
  const saved = await create();
  writeFileSync(at("src/a"), "two");
  const done = await kit.service.restore({ id: saved.id, path: "src" });
  expect(done.warnings.join()).toContain("other names");
  expect(readFileSync(at("src/a"), "utf8")).toBe("one");
  expect(readFileSync(at("docs/a"), "utf8")).toBe("two");
});

test("holes come back as holes, zeros as zeros", async () => {
  const fd = openSync(at("sparse"), "w");
  writeSync(fd, Buffer.alloc(4096, 1), 0, 4096, 0);
  writeSync(fd, Buffer.alloc(8192, 2), 0, 8192, 5 * 1024 * 1024);
  // Zeros that take space stay what they are.
  writeSync(fd, Buffer.alloc(4096), 0, 4096, 6 * 1024 * 1024);
  ftruncateSync(fd, 9 * 1024 * 1024 + 17);
  closeSync(fd);
  truncateSync(join(kit.workspace, "sparse"), 9 * 1024 * 1024 + 17);
  writeFileSync(at("only-hole"), "");
  truncateSync(at("only-hole"), 50 * 1024 * 1024);
  // Its attributes take a block on ext4, its content none.
  writeFileSync(at("small-hole"), "");
  truncateSync(at("small-hole"), 10);
  setAttributeAt(bytes("small-hole"), "user.large", Buffer.alloc(1_000, "x"));
  const before = exactWalk(kit.workspace);
  expect(dataOf(bytes("sparse")).split(" ").length).toBe(3);
  expect(dataOf(bytes("only-hole"))).toBe("");
  const saved = await create();
  rmSync(at("only-hole"));
  rmSync(at("small-hole"));
  writeFileSync(at("sparse"), "gone");
  expect(await restored(saved, before)).toEqual([]);
  expect(statSync(at("only-hole")).blocks).toBe(0);

  // Content is what counts: the same bytes without the holes are no difference.
  const filled = readFileSync(at("sparse"));
  const { atime, mtimeNs } = statSync(at("sparse"), { bigint: true });
  expect(atime).toBeDefined();
  writeFileSync(at("sparse"), filled);
  const changes = await kit.service.diff(saved.id);
  expect(changes.map(({ path, what }) => [path, what])).toEqual([["sparse", ["mtime"]]]);
  await kit.service.restore({ id: saved.id });
  expect(statSync(at("sparse"), { bigint: true }).mtimeNs).toBe(mtimeNs);
});

const nobodyCan = isRoot && canBeNobody() && canNobodyRead(HELPER[1] ?? "");

test.skipIf(!nobodyCan)(
  "an ordinary user gets back what it may set, and is told of the rest",
  async () => {
    put("tool", "#!");
    put("data", "one");
    setAttributeAt(bytes("tool"), "user.a", Buffer.from("a"));
    setAttributeAt(bytes("data"), "system.posix_acl_access", ACL);
    setAttributeAt(bytes("tool"), "security.capability", capability());
    Bun.spawnSync(["chmod", "755", kit.root]);
    Bun.spawnSync(["chown", "-R", "-h", String(NOBODY), kit.root]);
    // Changing the owner took it.
    setAttributeAt(bytes("tool"), "security.capability", capability());
    const before = exactWalk(kit.workspace);
    const service = kit.restarted({ helperCommand: asUid(NOBODY, HELPER) });
    const saved = await service.create({
      workspace: kit.workspace,
      kind: "manual",
      reason: "manual",
    });
    expect(saved).toMatchObject({ status: "ok", verified: true, warnings: [] });

    removeAttributeAt(bytes("tool"), "security.capability");
    put("data", "two!");
    removeAttributeAt(bytes("data"), "system.posix_acl_access");
    const first = await service.restore({ id: saved.id });
    expect(first.warnings).toEqual(["tool: some attributes can be restored by root only"]);
    rmSync(at("tool"));
    const second = await service.restore({ id: saved.id });
    expect(second.warnings).toContain(
      "tool: attribute security.capability can be restored by root only",
    );
    const without = (tree: Record<string, string>): unknown[] =>
      Object.entries(tree).map(([path, facts]) => [
        path,
        facts.replace(/"security.capability":"[^"]*",?/, "").replace(/:\d+ \|/, " |"),
      ]);
    expect(without(exactWalk(kit.workspace))).toEqual(without(before));
  },
);

test("a checkpoint from before attributes and links were kept takes none away", async () => {
  put("file", "one");
  linkSync(at("file"), at("link"));
  setAttributeAt(bytes("file"), "user.a", Buffer.from("a"));
  const saved = await create();
  const old = withoutExactness(saved);
  expect(await kit.service.diff(old)).toEqual([]);
  chmodSync(at("file"), 0o600);
  await kit.service.restore({ id: old });
  expect(attributesAt(bytes("link"))["user.a"]).toBeDefined();
  expect(inode("file")).toBe(inode("link"));
  expect(await kit.service.diff(saved.id)).toEqual([]);
});

/** The same checkpoint as an earlier version would have stored it; its id. */
function withoutExactness(saved: Checkpoint): string {
  const store = join(kit.directory, "store");
  const db = openIndex(store, "write");
  const blobs = createBlobWriter(store, db);
  const { links: _, ...manifest } = decodeManifest(blobs.read(saved.ref ?? ""));
  const entries = decodeTree(blobs.read(manifest.tree));
  const plain = entries.map(({ attributes: _attributes, ...entry }) => entry);
  const ref = blobs.put(encodeManifest({ ...manifest, tree: blobs.put(encodeTree(plain)) }));
  blobs.commit();
  blobs.close();
  db.close();
  kit.rows.insert({ ...saved, id: "old1", ref });
  return "old1";
}

test("exportTo brings attributes, links and holes too", async () => {
  put("a", "x");
  setAttributeAt(bytes("a"), "user.a", Buffer.from("v"));
  linkSync(at("a"), at("b"));
  truncateSync(at("a"), 10_000_000);
  const saved = await create();
  const target = join(kit.root, "exported");
  await exportTo({ checkpointsDirectory: kit.directory, checkpoint: saved, target });
  expect(exactWalk(target)).toEqual(exactWalk(kit.workspace));
});

test("a renamed directory with linked files keeps them one", async () => {
  put("old/a", "x");
  linkSync(at("old/a"), at("old/b"));
  const before = exactWalk(kit.workspace);
  const saved = await create();
  renameSync(at("old"), at("new"));
  expect(await restored(saved, before)).toEqual([]);
});
