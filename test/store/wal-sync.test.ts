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

test("durable syncs a lone event in place, and several off the loop", () =>
  withLog(async (path) => {
    const sync = createWalSync(path);
    expect(sync.durable(0)).toBeNull();
    expect(sync.durable(1)).toBeNull();
    const many = sync.durable(10);
    expect(many).toBeInstanceOf(Promise);
    await many;
    expect(sync.durable(0)).toBeNull();
    sync.close();
  }));

test("durable makes whoever comes during a sync wait for the next one, in order", () =>
  withLog(async (path) => {
    const sync = createWalSync(path);
    const order: number[] = [];
    const waits = [5, 1, 0].map((events, index) =>
      (sync.durable(events) ?? Promise.resolve()).then(() => order.push(index)),
    );
    await Promise.all(waits);
    expect(order).toEqual([0, 1, 2]);
    sync.close();
  }));

test.each([1, 10])(
  "after a failed sync of %p events nothing is promised any more",
  async (events) => {
    const sync = createWalSync("/dev/null");
    expect(sync.durable(events)).rejects.toThrow("EINVAL");
    await Bun.sleep(20);
    expect(sync.broken()?.message).toContain("EINVAL");
    expect(sync.durable(1)).rejects.toThrow("EINVAL");
    expect(sync.durable(0)).rejects.toThrow("EINVAL");
  },
);
