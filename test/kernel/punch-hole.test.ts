// Cutting a part out of a real file.

import { expect, test } from "bun:test";
import { closeSync, fsyncSync, openSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { punchHole } from "../../src/kernel/punch-hole.ts";
import { withTempDirectory } from "../support/temp-directory.ts";

test("punchHole zeroes the part and nothing else, keeps the size, and frees what it occupied", async () => {
  await withTempDirectory((directory) => {
    const path = join(directory, "file");
    const content = Buffer.alloc(1_000_000, 7);
    writeFileSync(path, content, { flush: true });
    const before = statSync(path).blocks;
    const fd = openSync(path, "r+");
    const done = punchHole(fd, 100_001, 600_003);
    fsyncSync(fd);
    closeSync(fd);
    if (!done) {
      console.log("skipped: this file system cuts no holes");
      return;
    }
    content.fill(0, 100_001, 700_004);
    expect(readFileSync(path).equals(content)).toBe(true);
    expect(statSync(path).blocks).toBeLessThan(before - 1_000);
  });
});

test("punchHole says that it cannot", () => {
  expect(punchHole(-1, 0, 4_096)).toBe(false);
});
