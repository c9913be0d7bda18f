// Calls of the C library.

import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { lstatSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setModified, SystemCallError } from "../../src/kernel/libc.ts";

test("setModified is exact to the nanosecond, for symlinks themselves too", () => {
  const directory = mkdtempSync(join(tmpdir(), "observer-libc-"));
  try {
    const file = join(directory, "file");
    const link = join(directory, "link");
    writeFileSync(file, "");
    symlinkSync("file", link);
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 4_000_000_000_000_000_000n }), (mtimeNs) => {
        setModified(Buffer.from(file), mtimeNs);
        setModified(Buffer.from(link), mtimeNs + 1n);
        expect(lstatSync(file, { bigint: true }).mtimeNs).toBe(mtimeNs);
        expect(lstatSync(link, { bigint: true }).mtimeNs).toBe(mtimeNs + 1n);
      }),
      { numRuns: 50 },
    );
    expect(() => setModified(Buffer.from(join(directory, "none")), 0n)).toThrow(SystemCallError);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
