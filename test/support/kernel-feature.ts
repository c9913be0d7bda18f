// What tests of the kernel layer need of the host, with a printed reason where it is missing.

import { mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";

export interface TestCgroup {
  path: string;
  remove(): Promise<void>;
}

/** A cgroup of our own below a mounted hierarchy; undefined with a printed reason where none can be made. */
export function makeCgroup(hierarchy: string, name: string): TestCgroup | undefined {
  const path = join(hierarchy, `observer-test-${name}-${process.pid}`);
  try {
    mkdirSync(path);
  } catch (thrown) {
    console.log(`skipped: no cgroup below ${hierarchy}: ${String(thrown)}`);
    return undefined;
  }
  return {
    path,
    async remove() {
      // The last process that was killed may still be leaving.
      for (let attempt = 0; attempt < 200; attempt += 1) {
        try {
          rmdirSync(path);
          return;
        } catch (thrown) {
          if (thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT") return;
          await Bun.sleep(10);
        }
      }
    },
  };
}
