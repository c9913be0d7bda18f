// Extended attributes, holes and opening beneath, against the real kernel.

import { expect, test } from "bun:test";
import {
  closeSync,
  constants,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { linkOpenFile } from "../../src/kernel/link-open.ts";
import { setModifiedOf, SystemCallError } from "../../src/kernel/libc.ts";
import { openDirectoryBeneath } from "../../src/kernel/open-beneath.ts";
import { holesOf } from "../../src/kernel/seek-holes.ts";
import {
  attributeNames,
  attributeNamesOf,
  attributeValue,
  removeAttribute,
  setAttribute,
} from "../../src/kernel/xattr.ts";
import { withTempDirectory } from "../support/temp-directory.ts";

const HANDLE = 0o10000000 | constants.O_NOFOLLOW;

test("attributes are set through a handle, read through both, and removed", () =>
  withTempDirectory((directory) => {
    const path = join(directory, "file");
    writeFileSync(path, "");
    for (const flags of [constants.O_RDONLY, HANDLE]) {
      const fd = openSync(path, flags);
      setAttribute(fd, "user.bytes", Buffer.from([0, 255]));
      setAttribute(fd, "user.empty", new Uint8Array());
      expect(
        attributeNamesOf(fd)
          .filter((name) => name.startsWith("user."))
          .sort(),
      ).toEqual(["user.bytes", "user.empty"]);
      expect(attributeValue(Buffer.from(path), "user.bytes")).toEqual(Buffer.from([0, 255]));
      expect(attributeValue(Buffer.from(path), "user.empty")).toEqual(Buffer.alloc(0));
      removeAttribute(fd, "user.bytes");
      removeAttribute(fd, "user.bytes");
      removeAttribute(fd, "user.empty");
      closeSync(fd);
      expect(attributeNames(Buffer.from(path)).filter((name) => name.startsWith("user."))).toEqual(
        [],
      );
    }
    expect(attributeValue(Buffer.from(path), "user.none")).toBeUndefined();
    expect(() => attributeNames(Buffer.from(join(directory, "none")))).toThrow(SystemCallError);
    // A symlink itself, not what it points to.
    symlinkSync(path, join(directory, "link"));
    expect(attributeNames(Buffer.from(join(directory, "link")))).not.toContain("user.bytes");
    return Promise.resolve();
  }));

test("holesOf names the holes in order, and gives up on more than asked for", () =>
  withTempDirectory((directory) => {
    const fd = openSync(join(directory, "file"), "w+");
    expect(holesOf(fd, { size: 0, most: 5 })).toEqual([]);
    ftruncateSync(fd, 1_000_001);
    writeSync(fd, Buffer.alloc(65_536, 1), 0, 65_536, 0);
    writeSync(fd, Buffer.alloc(65_536, 1), 0, 65_536, 524_288);
    const found = [
      { start: 65_536, length: 458_752 },
      { start: 589_824, length: 410_177 },
    ];
    expect(holesOf(fd, { size: 1_000_001, most: 2 })).toEqual(found);
    expect(holesOf(fd, { size: 1_000_001, most: 1 })).toBeUndefined();
    expect(holesOf(fd, { size: 65_536, most: 1 })).toEqual([]);
    closeSync(fd);
    return Promise.resolve();
  }));

test("openDirectoryBeneath follows no symlink and does not leave the top", () =>
  withTempDirectory((directory) => {
    mkdirSync(join(directory, "a/b"), { recursive: true });
    symlinkSync("a", join(directory, "link"));
    const top = openSync(join(directory, "a"), "r");
    const all = openSync(directory, "r");
    const fd = openDirectoryBeneath(all, Buffer.from("a/b"));
    if (fd === undefined) return Promise.resolve(console.log("skipped: no openat2 here"));
    expect(readlinkSync(`/proc/self/fd/${fd}`)).toBe(join(directory, "a/b"));
    closeSync(fd);
    const failure = (from: number, path: string): unknown => {
      try {
        return openDirectoryBeneath(from, Buffer.from(path));
      } catch (error) {
        return (error as SystemCallError).code;
      }
    };
    expect(failure(all, "link/b")).toBe("ELOOP");
    expect(failure(top, "../a")).toBe("EXDEV");
    expect(failure(top, "/")).toBe("EXDEV");
    expect(failure(all, "none")).toBe("ENOENT");
    closeSync(top);
    closeSync(all);
    return Promise.resolve();
  }));

test("linkOpenFile and setModifiedOf mean the open file, also a symlink's handle", () =>
  withTempDirectory((directory) => {
    writeFileSync(join(directory, "target"), "");
    symlinkSync("target", join(directory, "link"));
    const untouched = lstatSync(join(directory, "target"), { bigint: true }).mtimeNs;
    const top = openSync(directory, "r");
    const fd = openSync(join(directory, "link"), HANDLE);
    linkOpenFile(fd, top, Buffer.from("second"));
    setModifiedOf(fd, 1_000_000_007n);
    const stat = lstatSync(join(directory, "second"), { bigint: true });
    expect([stat.isSymbolicLink(), stat.nlink, stat.mtimeNs]).toEqual([true, 2n, 1_000_000_007n]);
    expect(lstatSync(join(directory, "target"), { bigint: true }).mtimeNs).toBe(untouched);
    linkSync(join(directory, "target"), join(directory, "third"));
    expect(() => linkOpenFile(fd, top, Buffer.from("third"))).toThrow("EEXIST");
    closeSync(fd);
    closeSync(top);
    return Promise.resolve();
  }));
