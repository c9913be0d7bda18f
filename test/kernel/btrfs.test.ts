// btrfs requests on a real btrfs.

import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createSnapshot,
  createSubvolume,
  destroySubvolume,
  hasNestedSubvolumes,
  isBtrfs,
  isSubvolume,
  subvolumeInfo,
} from "../../src/kernel/btrfs.ts";
import { SystemCallError } from "../../src/kernel/libc.ts";
import { mountLoop } from "../support/loop-mount.ts";

const mount = mountLoop("btrfs");
afterAll(() => mount?.unmount());

test("isBtrfs and isSubvolume are false elsewhere", () => {
  expect(isBtrfs("/proc")).toBe(false);
  expect(isSubvolume(tmpdir())).toBe(false);
});

test.skipIf(!mount)("createSnapshot makes a read-only snapshot of its source", () => {
  const top = mount?.path ?? "";
  createSubvolume(top, "source");
  writeFileSync(join(top, "source/file"), "content");
  expect(isSubvolume(join(top, "source"))).toBe(true);
  createSnapshot(join(top, "source"), top, "snapshot");
  const info = subvolumeInfo(join(top, "snapshot"));
  expect(info.readOnly).toBe(true);
  expect(info.parentUuid).toBe(subvolumeInfo(join(top, "source")).uuid);
  expect(readFileSync(join(top, "snapshot/file"), "utf8")).toBe("content");
  expect(() => writeFileSync(join(top, "snapshot/file"), "x")).toThrow("EROFS");
  destroySubvolume(top, "snapshot");
  expect(existsSync(join(top, "snapshot"))).toBe(false);
});

test.skipIf(!mount)(
  "createSnapshot refuses a plain directory and a used or foreign name with the kernel's number",
  () => {
    const top = mount?.path ?? "";
    mkdirSync(join(top, "plain"));
    const numberOf = (act: () => void): number => {
      try {
        act();
      } catch (error) {
        if (error instanceof SystemCallError) return error.errno;
      }
      return 0;
    };
    expect(numberOf(() => createSnapshot(join(top, "plain"), top, "s"))).toBe(22);
    createSubvolume(top, "other");
    expect(numberOf(() => createSnapshot(join(top, "other"), top, "plain"))).toBe(17);
    expect(numberOf(() => createSnapshot(join(top, "other"), top, "a/b"))).toBe(22);
  },
);

test.skipIf(!mount)("hasNestedSubvolumes sees a subvolume inside", () => {
  const top = mount?.path ?? "";
  createSubvolume(top, "outer");
  expect(hasNestedSubvolumes(join(top, "outer"))).toBe(false);
  createSubvolume(join(top, "outer"), "inner");
  expect(hasNestedSubvolumes(join(top, "outer"))).toBe(true);
});
