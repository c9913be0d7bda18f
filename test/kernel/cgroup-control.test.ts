import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CgroupDirectories } from "../../src/core/agent.ts";
import { ObserverError } from "../../src/core/errors.ts";
import { cgroupsOf, findCgroupMounts, NO_CGROUPS } from "../../src/kernel/cgroup.ts";
import {
  createCgroup,
  entryFiles,
  type FreezeFile,
  freezeFile,
  isFrozen,
  killAll,
  limitMemory,
  moveProcess,
  processesIn,
  removeCgroup,
} from "../../src/kernel/cgroup-control.ts";
import { parentsForRuns } from "../../src/kernel/cgroup-delegation.ts";
import { readLimit } from "../../src/kernel/cgroup-memory.ts";
import { findCgroups, sweep } from "../../src/kernel/cgroup-sweep.ts";
import { readStat } from "../../src/kernel/procfs.ts";
import { openCgroups, until, writeCgroupTree } from "../support/cgroups.ts";
import { withTempDirectory } from "../support/temp-directory.ts";

// The machine may be busy, and the waits below take that into account.
setDefaultTimeout(30_000);

const MIB = 1024 * 1024;
const kit = openCgroups();
const none = kit === undefined;
const noUnified = !kit?.parents.unified;
const noFreezer = !kit?.parents.freezer;
const noMemory = kit?.mounts.memoryVersion !== 1;
if (kit && (noUnified || noFreezer || noMemory))
  console.log("skipped: some tests need cgroup v1 memory and freezer beside v2");
afterAll(() => kit?.close());

const BUSY = "while :; do :; done";
const cpuTicks = (pid: number): number => {
  const stat = readStat(pid);
  return (stat?.utimeTicks ?? 0) + (stat?.stimeTicks ?? 0);
};

const sorted = (pids: number[]): number[] => pids.toSorted((one, other) => one - other);

function codeOf(work: () => unknown): string {
  try {
    work();
    return "(nothing thrown)";
  } catch (error) {
    return error instanceof ObserverError ? error.code : String(error);
  }
}

describe("createCgroup", () => {
  test.skipIf(none)("makes the cgroup in every hierarchy, once", async () => {
    const path = `observer-test-${process.pid}/made`;
    const { directories, missing } = createCgroup(kit!.parents, path);
    expect(missing).toEqual([]);
    for (const key of ["unified", "memory", "freezer"] as const) {
      const parent = kit!.parents[key];
      expect(directories[key]).toBe(parent === null ? null : join(parent, path));
    }
    expect(directories.memoryVersion).toBe(kit!.parents.memoryVersion);
    expect(codeOf(() => createCgroup(kit!.parents, path))).toBe("conflict");
    for (const file of entryFiles(directories)) expect(existsSync(file)).toBe(true);
    expect(await removeCgroup(directories)).toBe(true);
    for (const file of entryFiles(directories)) expect(existsSync(file)).toBe(false);
    expect(await removeCgroup(directories)).toBe(true);
  });

  test("leaves nothing behind when the name is taken in one hierarchy", () =>
    withTempDirectory((root) => {
      writeCgroupTree(root, { "f/cgroup.procs": "", "m/cgroup.procs": "", "u/cgroup.procs": "" });
      mkdirSync(join(root, "u/run"));
      const parents: CgroupDirectories = {
        unified: join(root, "u"),
        memory: join(root, "m"),
        memoryVersion: 1,
        freezer: join(root, "f"),
      };
      expect(codeOf(() => createCgroup(parents, "run"))).toBe("conflict");
      expect([existsSync(join(root, "m/run")), existsSync(join(root, "f/run"))]).toEqual([
        false,
        false,
      ]);
      expect(existsSync(join(root, "u/run"))).toBe(true);
    }));

  test("says what is missing when one hierarchy cannot be used, and throws when none can", () =>
    withTempDirectory((root) => {
      writeCgroupTree(root, { "m/cgroup.procs": "" });
      const gone = join(root, "gone");
      const parents = { unified: gone, memory: join(root, "m"), memoryVersion: 1, freezer: null };
      const made = createCgroup(parents as CgroupDirectories, "run");
      expect(made.directories).toEqual({
        unified: null,
        memory: join(root, "m/run"),
        memoryVersion: 1,
        freezer: null,
      });
      expect(made.missing).toEqual([{ hierarchy: "unified", reason: `${gone} is no cgroup` }]);
      expect(codeOf(() => createCgroup({ ...NO_CGROUPS, unified: gone }, "run"))).toBe(
        "unsupported",
      );
      expect(codeOf(() => createCgroup(NO_CGROUPS, "run"))).toBe("unsupported");
    }));

  test("takes no name that could be a path or a file of a controller", () => {
    for (const path of ["", "/", "..", "a/../b", "a//b", "a/", ".a", "cgroup.procs", "a b", "ä"])
      expect(codeOf(() => createCgroup(NO_CGROUPS, path))).toBe("invalid");
  });

  test("v2: hands memory down, and is told whether that worked", () =>
    withTempDirectory((root) => {
      writeCgroupTree(root, { "cgroup.controllers": "memory\n", "cgroup.subtree_control": "\n" });
      const parents = { unified: root, memory: root, memoryVersion: 2 as const, freezer: null };
      const { directories, missing } = createCgroup(parents, "run");
      expect(readFileSync(join(root, "cgroup.subtree_control"), "utf8")).toBe("+memory");
      // A plain directory has no memory.current, as below a cgroup that holds processes itself.
      expect(directories).toEqual({
        unified: join(root, "run"),
        memory: null,
        memoryVersion: null,
        freezer: null,
      });
      expect(missing.map(({ hierarchy }) => hierarchy)).toEqual(["memory"]);
    }));
});

test.skipIf(process.geteuid?.() === 0)(
  "createCgroup tells an ordinary user that it may not",
  () => {
    const mounts = findCgroupMounts();
    const parents = {
      ...NO_CGROUPS,
      unified: mounts.unified?.mountPoint ?? null,
      freezer: mounts.freezer?.mountPoint ?? null,
    };
    const code = codeOf(() => createCgroup(parents, "observer-test-refused"));
    expect(["not_permitted", "unsupported"]).toContain(code);
  },
);

describe("parentsForRuns", () => {
  test("v1 and hybrid: below the own cgroups", () => {
    const own: CgroupDirectories = {
      unified: "/u/x",
      memory: "/m/x",
      memoryVersion: 1,
      freezer: "/f",
    };
    const mounts = { ...findCgroupMounts(""), memoryVersion: 1 as const };
    expect(parentsForRuns(mounts, own)).toEqual(own);
  });

  test("v2: the nearest above that can hand memory down", () =>
    withTempDirectory((root) => {
      writeCgroupTree(root, {
        "cgroup.subtree_control": "memory pids\n",
        "slice/cgroup.controllers": "memory\n",
        "slice/cgroup.subtree_control": "memory\n",
        "slice/scope/cgroup.controllers": "memory\n",
        "slice/scope/cgroup.subtree_control": "\n",
        "slice/scope/cgroup.procs": "42\n",
      });
      const mounts = { ...findCgroupMounts(""), memoryVersion: 2 as const };
      const of = (unified: string) => parentsForRuns(mounts, { ...NO_CGROUPS, unified });
      expect(of(join(root, "slice/scope"))).toEqual({
        unified: join(root, "slice"),
        memory: join(root, "slice"),
        memoryVersion: 2,
        freezer: null,
      });
      writeFileSync(join(root, "slice/scope/cgroup.procs"), "");
      expect(of(join(root, "slice/scope")).unified).toBe(join(root, "slice/scope"));
    }));
});

describe("limitMemory", () => {
  test.skipIf(noMemory)("v1: can be raised and lowered, in whole pages", () => {
    const cgroup = kit!.make("limits");
    for (const bytes of [64 * MIB, 32 * MIB, 128 * MIB])
      expect(limitMemory(cgroup, bytes)).toBe(bytes);
    expect(limitMemory(cgroup, 64 * MIB + 5)).toBe(64 * MIB);
    const withSwap = join(cgroup.memory!, "memory.memsw.limit_in_bytes");
    if (existsSync(withSwap)) expect(Number(readFileSync(withSwap, "utf8"))).toBe(64 * MIB);
  });

  test("v2: also slows down before, forbids swap, and kills one process only", () =>
    withTempDirectory((root) => {
      const files = ["memory.max", "memory.high", "memory.swap.max", "memory.oom.group"];
      writeCgroupTree(root, Object.fromEntries(files.map((name) => [name, "max\n"])));
      const cgroup = { ...NO_CGROUPS, unified: root, memory: root, memoryVersion: 2 as const };
      expect(limitMemory(cgroup, 1000)).toBe(1000);
      expect(files.map((name) => readFileSync(join(root, name), "utf8"))).toEqual([
        "1000",
        "900",
        "0",
        "0",
      ]);
      expect(readLimit(root, 2)).toBe(1000);
    }));

  test("says why it cannot", () =>
    withTempDirectory((root) => {
      expect(codeOf(() => limitMemory(NO_CGROUPS, 1))).toBe("unsupported");
      const cgroup = { ...NO_CGROUPS, memory: root, memoryVersion: 1 as const };
      expect(codeOf(() => limitMemory(cgroup, 1))).toBe("unsupported");
    }));
});

/** Freezes a busy loop by `file` and lets it go on; the CPU time tells. */
async function freezesAndThaws(file: FreezeFile, pid: number): Promise<void> {
  const start = cpuTicks(pid);
  await until(() => cpuTicks(pid) > start);
  expect(isFrozen(file)).toBe(false);
  writeFileSync(file.path, file.frozen);
  await until(() => isFrozen(file) === true);
  const frozen = cpuTicks(pid);
  await Bun.sleep(150);
  expect(cpuTicks(pid)).toBe(frozen);
  writeFileSync(file.path, file.thawed);
  await until(() => isFrozen(file) === false && cpuTicks(pid) > frozen);
}

describe("freezeFile", () => {
  test.skipIf(noUnified)("prefers v2, which really stops a busy loop", async () => {
    const cgroup = kit!.make("freeze2");
    const { pid } = kit!.spawn(cgroup, BUSY);
    const file = freezeFile(cgroup)!;
    expect(file).toMatchObject({
      path: join(cgroup.unified!, "cgroup.freeze"),
      method: "cgroup.freeze",
    });
    await freezesAndThaws(file, pid);
  });

  test.skipIf(noFreezer)("takes the v1 freezer elsewhere, which really stops it too", async () => {
    const cgroup = { ...kit!.make("freeze1"), unified: null };
    const { pid } = kit!.spawn(cgroup, BUSY);
    const file = freezeFile(cgroup)!;
    expect(file).toMatchObject({
      path: join(cgroup.freezer!, "freezer.state"),
      method: "freezer",
    });
    await freezesAndThaws(file, pid);
  });

  test.skipIf(none)("offers neither a root nor a cgroup that observer lives in", () => {
    expect(freezeFile(kit!.parents)).toBeNull();
    const own = cgroupsOf(process.pid, kit!.mounts);
    expect(freezeFile(own)).toBeNull();
    expect(freezeFile(NO_CGROUPS)).toBeNull();
  });

  test("isFrozen tells a cgroup that is still being stopped from one that is gone", () =>
    withTempDirectory((root) => {
      const path = join(root, "freezer.state");
      const state = (text: string) => {
        writeFileSync(path, `${text}\n`);
        return isFrozen({ path, method: "freezer" });
      };
      expect(["FROZEN", "FREEZING", "THAWED"].map(state)).toEqual([true, false, false]);
      const unified = join(root, "cgroup.freeze");
      writeFileSync(join(root, "cgroup.events"), "populated 1\nfrozen 1\n");
      expect(isFrozen({ path: unified, method: "cgroup.freeze" })).toBe(true);
      rmSync(root, { recursive: true });
      expect(isFrozen({ path, method: "freezer" })).toBeNull();
      expect(isFrozen({ path: unified, method: "cgroup.freeze" })).toBeNull();
    }));
});

describe("killAll", () => {
  const TREE = "trap '' TERM; (setsid sleep 100 & sleep 100 & wait) & sleep 100 & wait";

  async function endsTree(cgroup: CgroupDirectories, directory: string): Promise<void> {
    const child = kit!.spawn(cgroup, TREE);
    await until(() => processesIn(directory).length === 5);
    const pids = processesIn(directory);
    const killed = await killAll(directory);
    expect(killed.survivors).toEqual([]);
    expect(sorted(killed.pids)).toEqual(sorted(pids));
    await child.exited;
    expect(child.signalCode).toBe("SIGKILL");
    expect(processesIn(directory)).toEqual([]);
    expect(await killAll(directory)).toEqual({ pids: [], survivors: [] });
  }

  test.skipIf(noUnified)("ends a whole tree by cgroup.kill, frozen too", async () => {
    const cgroup = kit!.make("kill2");
    await endsTree(cgroup, cgroup.unified!);
    const file = freezeFile(cgroup)!;
    writeFileSync(file.path, file.frozen);
    const { pid } = kit!.spawn({ ...NO_CGROUPS, unified: cgroup.unified }, "exec sleep 100");
    await until(() => processesIn(cgroup.unified!).includes(pid));
    expect((await killAll(cgroup.unified!)).survivors).toEqual([]);
    expect(await removeCgroup(cgroup)).toBe(true);
  });

  test.skipIf(noMemory)("ends a whole tree where only lists of processes are", async () => {
    const cgroup = kit!.make("kill1");
    await endsTree(cgroup, cgroup.memory!);
  });

  test.skipIf(noFreezer)(
    "ends a tree that the v1 freezer holds, in cgroups below too",
    async () => {
      const cgroup = { ...kit!.make("killfrozen"), unified: null };
      const below = { ...kit!.make("killfrozen/below"), unified: null };
      const [one, other] = [
        kit!.spawn(cgroup, "exec sleep 100"),
        kit!.spawn(below, "exec sleep 100"),
      ];
      await until(() => processesIn(cgroup.freezer!).length === 2);
      const file = freezeFile(cgroup)!;
      writeFileSync(file.path, file.frozen);
      await until(() => isFrozen(file) === true);
      const killed = await killAll(cgroup.freezer!);
      expect(killed.survivors).toEqual([]);
      expect(sorted(killed.pids)).toEqual(sorted([one.pid, other.pid]));
      expect(await removeCgroup(cgroup)).toBe(true);
    },
  );

  test.skipIf(none)("refuses the cgroup that observer lives in", async () => {
    const own = cgroupsOf(process.pid, kit!.mounts);
    const directory = own.memory ?? own.unified ?? own.freezer!;
    const refused = await killAll(directory).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "conflict" });
  });
});

test.skipIf(none)("moveProcess takes a process into every hierarchy", async () => {
  const cgroup = kit!.make("moved");
  const child = Bun.spawn(["sleep", "100"], { stdio: ["ignore", "ignore", "ignore"] });
  moveProcess(child.pid, cgroup);
  expect(cgroupsOf(child.pid, kit!.mounts)).toEqual(cgroup);
  expect(await removeCgroup(cgroup)).toBe(false);
  child.kill("SIGKILL");
  await child.exited;
  expect(codeOf(() => moveProcess(child.pid, cgroup))).toBe("vanished");
  expect(await removeCgroup(cgroup)).toBe(true);
});

test.skipIf(none)(
  "sweep removes ended cgroups only, and findCgroups finds where they lie",
  async () => {
    const [ended, living, kept] = [kit!.make("s/a"), kit!.make("s/b"), kit!.make("s/c")];
    const directory = (ended.memory ?? ended.unified ?? ended.freezer)!;
    const parent = join(directory, "..");
    const { pid } = kit!.spawn(living, "exec sleep 100");
    await until(() => processesIn(parent).includes(pid));
    const keep = (name: string): boolean => name === "c";
    const nowMs = Date.now();
    expect(await sweep(parent, { nowMs, minAgeMs: 60_000 })).toEqual([]);
    expect(await sweep(parent, { nowMs: nowMs + 1_000, minAgeMs: 0, keep })).toEqual(["a"]);
    expect(existsSync(directory)).toBe(false);
    expect(processesIn(parent)).toEqual([pid]);
    expect(await sweep("/nowhere", { nowMs, minAgeMs: 0 })).toEqual([]);
    const found = findCgroups(kit!.mounts, `observer-test-${process.pid}`);
    expect(found).toContain(join(parent, ".."));
    expect(await removeCgroup(kept)).toBe(true);
  },
);
