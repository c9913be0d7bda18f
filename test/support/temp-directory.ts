// A directory that is gone when the test is over.

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** In memory where there is some, for tests that flush so often that they would wait for a busy disk. */
export const QUICK_PLACE = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

export async function withTempDirectory<T>(
  run: (path: string) => Promise<T> | T,
  place = tmpdir(),
): Promise<T> {
  const path = mkdtempSync(join(place, "observer-test-"));
  try {
    return await run(path);
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}
