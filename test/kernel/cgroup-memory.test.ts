import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, readSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ObserverError } from "../../src/core/errors.ts";
import {
  oomNotifier,
  readHigh,
  readLimit,
  readMemory,
  readOomCounters,
  readOomKills,
  readOomKillsBelow,
  readUsage,
  tightestLimit,
  usageThreshold,
} from "../../src/kernel/cgroup-memory.ts";
import { limitMemory, removeCgroup } from "../../src/kernel/cgroup-control.ts";
import { readHostOomKills } from "../../src/kernel/host-memory.ts";
import { openCgroups, until, writeCgroupTree } from "../support/cgroups.ts";
import { withTempDirectory } from "../support/temp-directory.ts";

// A victim may take seconds to go: the kernel's reaper steps in after two.
setDefaultTimeout(30_000);

/** tail keeps in memory what has no newline. */
const HOG = "exec tail /dev/zero";
const MIB = 1024 * 1024;
const kit = openCgroups();
const isVersion1 = kit?.mounts.memoryVersion === 1;
if (kit && !isVersion1) console.log("skipped: tests with real memory limits need cgroup v1");
afterAll(() => kit?.close());

/** How often an eventfd has been signalled since the last look. */
function countOf(eventfd: number): number {
  const count = Buffer.alloc(8);
  try {
    return readSync(eventfd, count, 0, 8, null) === 8 ? Number(count.readBigUInt64LE()) : 0;
  } catch {
    return 0; // EAGAIN: not signalled.
  }
}

describe("v2, from a fixture tree", () => {
  const TREE = {
    "cgroup.controllers": "memory\n",
    "slice/memory.current": `${900 * MIB}\n`,
    "slice/memory.max": `${1000 * MIB}\n`,
    "slice/memory.stat": `anon 1\ninactive_file ${50 * MIB}\nactive_file 7\n`,
    "slice/a/memory.current": `${100 * MIB}\n`,
    "slice/a/memory.max": "max\n",
    "slice/a/memory.high": `${300 * MIB}\n`,
    "slice/a/memory.peak": `${120 * MIB}\n`,
    "slice/a/memory.stat": `inactive_file ${30 * MIB}\n`,
    "slice/a/memory.events": "low 0\nhigh 4\nmax 9\noom 3\noom_kill 5\noom_group_kill 1\n",
    "slice/a/memory.events.local": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 2\noom_group_kill 1\n",
    "slice/old/memory.events": "low 0\nhigh 0\nmax 1\noom 1\noom_kill 6\n",
    "slice/a/b/memory.current": `${10 * MIB}\n`,
    "slice/a/b/memory.max": `${400 * MIB}\n`,
  };

  test("readMemory leaves out cache that can be dropped", () =>
    withTempDirectory((root) => {
      writeCgroupTree(root, TREE);
      expect(readMemory(join(root, "slice/a"), 2)).toEqual({
        usageBytes: 100 * MIB,
        workingSetBytes: 70 * MIB,
        limitBytes: null,
        peakBytes: 120 * MIB,
      });
      expect(readHigh(join(root, "slice/a"))).toBe(300 * MIB);
      // No memory.stat, no memory.peak: an older kernel, or a race with the removal.
      expect(readMemory(join(root, "slice/a/b"), 2)).toMatchObject({
        workingSetBytes: 10 * MIB,
        peakBytes: null,
      });
      expect(readMemory(root, 2)).toBeNull();
      expect(readMemory(join(root, "gone"), 2)).toBeNull();
    }));

  test("the working set is never below nothing", () =>
    withTempDirectory((root) => {
      writeCgroupTree(root, {
        "memory.current": "100\n",
        "memory.stat": "inactive_file 4096\n",
      });
      expect(readMemory(root, 2)?.workingSetBytes).toBe(0);
    }));

  test("tightestLimit takes the limit with the least room, with that level's use", () =>
    withTempDirectory((root) => {
      writeCgroupTree(root, TREE);
      expect(tightestLimit(join(root, "slice/a/b"), 2)).toEqual({
        directory: join(root, "slice"),
        limitBytes: 1000 * MIB,
        usageBytes: 900 * MIB,
        workingSetBytes: 850 * MIB,
      });
      writeFileSync(join(root, "slice/a/b/memory.current"), `${399 * MIB}\n`);
      expect(tightestLimit(join(root, "slice/a/b"), 2)?.directory).toBe(join(root, "slice/a/b"));
      expect(tightestLimit(root, 2)).toBeNull();
      expect(tightestLimit(join(root, "gone"), 2)).toBeNull();
    }));

  test("kills are those of the cgroup itself where the kernel tells them apart", () =>
    withTempDirectory((root) => {
      writeCgroupTree(root, TREE);
      expect(readOomCounters(join(root, "slice/a"), 2)).toEqual({
        kills: 2,
        groupKills: 1,
        limitReached: 0,
        underOom: false,
      });
      expect(readOomKillsBelow(join(root, "slice/a"), 2)).toBe(5);
      expect(readOomKills(join(root, "slice/old"), 2)).toBe(6);
      expect(readOomKills(join(root, "slice"), 2)).toBeNull();
    }));

  test("oomNotifier names the file to watch, and throws when there is none", () =>
    withTempDirectory((root) => {
      writeCgroupTree(root, TREE);
      const directory = join(root, "slice/a");
      expect(oomNotifier(directory, 2)).toEqual({
        kind: "inotify",
        path: join(directory, "memory.events"),
      });
      expect(() => oomNotifier(root, 2)).toThrow(ObserverError);
    }));
});

describe("v1, from a fixture tree", () => {
  const TREE = {
    "memory.limit_in_bytes": "9223372036854771712\n",
    "memory.usage_in_bytes": "1\n",
    "memory.use_hierarchy": "1\n",
    "a/memory.limit_in_bytes": `${100 * MIB}\n`,
    "a/memory.usage_in_bytes": `${90 * MIB}\n`,
    "a/memory.max_usage_in_bytes": `${95 * MIB}\n`,
    "a/memory.stat": `inactive_file 1\ntotal_inactive_file ${40 * MIB}\n`,
    "a/memory.use_hierarchy": "1\n",
    "a/memory.oom_control": "oom_kill_disable 0\nunder_oom 1\noom_kill 7\n",
    "a/b/memory.limit_in_bytes": "9223372036854710272\n",
    "a/b/memory.usage_in_bytes": `${5 * MIB}\n`,
    "a/b/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n",
  };

  test("reads use, limit, peak and kills", () =>
    withTempDirectory((root) => {
      writeCgroupTree(root, TREE);
      expect(readMemory(join(root, "a"), 1)).toEqual({
        usageBytes: 90 * MIB,
        workingSetBytes: 50 * MIB,
        limitBytes: 100 * MIB,
        peakBytes: 95 * MIB,
      });
      // "No limit" differs with the page size.
      expect([readLimit(root, 1), readLimit(join(root, "a/b"), 1)]).toEqual([null, null]);
      expect(readOomCounters(join(root, "a"), 1)).toMatchObject({ kills: 7, underOom: true });
      // Before Linux 4.13.
      expect(readOomKills(join(root, "a/b"), 1)).toBeNull();
      expect(readOomKillsBelow(join(root, "a"), 1)).toBeNull();
    }));

  test("a limit above counts where the hierarchy counts", () =>
    withTempDirectory((root) => {
      writeCgroupTree(root, TREE);
      expect(tightestLimit(join(root, "a/b"), 1)?.directory).toBe(join(root, "a"));
      writeFileSync(join(root, "a/memory.use_hierarchy"), "0\n");
      expect(tightestLimit(join(root, "a/b"), 1)).toBeNull();
      expect(tightestLimit(join(root, "a"), 1)?.limitBytes).toBe(100 * MIB);
    }));

  test("usageThreshold says in words why it cannot be had", () =>
    withTempDirectory((root) => {
      writeCgroupTree(root, TREE);
      expect(() => usageThreshold(join(root, "a"), 1)).toThrow(/does not exist/);
      expect(() => usageThreshold(join(root, "gone"), 1)).toThrow(ObserverError);
    }));
});

test.skipIf(!isVersion1)(
  "a real kill is announced and counted in the cgroup of the victim (needs cgroup v1 memory)",
  async () => {
    const cgroup = kit!.make("oom");
    const memory = cgroup.memory!;
    const hostBefore = readHostOomKills() ?? 0;
    expect(limitMemory(cgroup, 32 * MIB)).toBe(32 * MIB);
    const notifier = oomNotifier(memory, 1);
    const threshold = usageThreshold(memory, 16 * MIB);
    const eventfd = notifier.kind === "eventfd" ? notifier.fd : -1;
    expect([readOomKills(memory, 1), countOf(eventfd), countOf(threshold)]).toEqual([0, 0, 0]);
    const hog = kit!.spawn(cgroup, HOG);
    await hog.exited;
    expect(hog.signalCode).toBe("SIGKILL");
    await until(() => readOomKills(memory, 1) === 1);
    expect(countOf(eventfd)).toBeGreaterThan(0);
    expect(countOf(threshold)).toBeGreaterThan(0);
    expect(readHostOomKills()).toBeGreaterThan(hostBefore);
    expect(readMemory(memory, 1)).toMatchObject({ limitBytes: 32 * MIB });
    expect(readMemory(memory, 1)?.peakBytes).toBeGreaterThan(30 * MIB);
    expect(tightestLimit(memory, 1)).toMatchObject({ directory: memory, limitBytes: 32 * MIB });
    for (const fd of [eventfd, threshold]) closeSync(fd);
  },
);

test.skipIf(!isVersion1)(
  "a limit above is the tightest, and its kill is counted below (needs cgroup v1 memory)",
  async () => {
    const [outer, inner] = [kit!.make("nested"), kit!.make("nested/inner")];
    limitMemory(outer, 24 * MIB);
    limitMemory(inner, 400 * MIB);
    expect(tightestLimit(inner.memory!, 1)?.directory).toBe(outer.memory!);
    const { fd } = oomNotifier(inner.memory!, 1) as { fd: number };
    await kit!.spawn(inner, HOG).exited;
    await until(() => readOomKills(inner.memory!, 1) === 1);
    expect(readOomKills(outer.memory!, 1)).toBe(0);
    expect(countOf(fd)).toBeGreaterThan(0);
    closeSync(fd);
  },
);

test.skipIf(!isVersion1)(
  "an eventfd is signalled when its cgroup is removed, and can then be closed (needs cgroup v1 memory)",
  async () => {
    const cgroup = kit!.make("removed");
    const { fd } = oomNotifier(cgroup.memory!, 1) as { fd: number };
    expect(await removeCgroup(cgroup)).toBe(true);
    await until(() => countOf(fd) > 0);
    expect(readUsage(cgroup.memory!, 1)).toBeNull();
    expect(readOomKills(cgroup.memory!, 1)).toBeNull();
    expect(() => oomNotifier(cgroup.memory!, 1)).toThrow(ObserverError);
    closeSync(fd);
  },
);
