// Syncing the log: who waits, what a failure means. The failure is real: /dev/null cannot be synced.

import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createWalSync } from "../../src/store/wal-sync.ts";
import { withTempDirectory } from "../support/temp-directory.ts";

const withLog = <T>(run: (path: string) => Promise<T> | T): Promise<T> =>
  withTempDirectory((directory) => {
    const path = join(directory, "log");
    writeFileSync(path, "frames");
    return run(path);
  });

test("durable syncs what was written off the loop, and nothing when nothing was", () =>
  withLog(async (path) => {
    const sync = createWalSync(path);
    expect(sync.durable(false)).toBeNull();
    const written = sync.durable(true);
    expect(written).toBeInstanceOf(Promise);
    await written;
    expect(sync.durable(false)).toBeNull();
    sync.close();
  }));

test("durable makes whoever comes during a sync wait for the next one, in order", () =>
  withLog(async (path) => {
    const sync = createWalSync(path);
    const order: number[] = [];
    const waits = [true, true, false].map((written, index) =>
      (sync.durable(written) ?? Promise.resolve()).then(() => order.push(index)),
    );
    await Promise.all(waits);
    expect(order).toEqual([0, 1, 2]);
    sync.close();
  }));

test("after a failed sync nothing is promised any more", async () => {
  const sync = createWalSync("/dev/null");
  expect(sync.durable(true)).rejects.toThrow("EINVAL");
  await Bun.sleep(20);
  expect(sync.broken()?.message).toContain("EINVAL");
  expect(sync.durable(true)).rejects.toThrow("EINVAL");
  expect(sync.durable(false)).rejects.toThrow("EINVAL");
});
