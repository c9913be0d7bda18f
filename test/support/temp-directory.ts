// A directory that is gone when the test is over.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export async function withTempDirectory<T>(run: (path: string) => Promise<T> | T): Promise<T> {
  const path = mkdtempSync(join(tmpdir(), "observer-test-"));
  try {
    return await run(path);
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}
