import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import {
  bootId,
  bootTimeMs,
  pageBytes,
  parseAuxiliary,
  ticksPerSecond,
  ticksToMs,
  uptimeMs,
} from "../../src/kernel/boot.ts";
import { readHostMemory, readHostOomKills } from "../../src/kernel/host-memory.ts";
import {
  childrenOf,
  listPids,
  namespacePid,
  programPath,
  readCommandLine,
  readEnvironment,
  readStat,
  readStatus,
  readUid,
  sameMountNamespace,
  workingDirectory,
  workingDirectoryLink,
} from "../../src/kernel/procfs.ts";
import { until } from "../support/cgroups.ts";
import { withTempDirectory } from "../support/temp-directory.ts";

// The machine may be busy, and the waits below take that into account.
setDefaultTimeout(30_000);

const asRoot = process.geteuid?.() === 0;
const noNamespaces = !asRoot || !Bun.which("unshare");
if (noNamespaces) console.log("skipped: tests with namespaces need root and unshare");

const children: Bun.Subprocess[] = [];
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(children.map(({ exited }) => exited));
});

function start(command: string[], options: { cwd?: string; env?: Record<string, string> } = {}) {
  const child = Bun.spawn(command, { stdio: ["ignore", "ignore", "ignore"], ...options });
  children.push(child);
  return child;
}

/** The only child of a process, once it has one. */
async function onlyChild(pid: number): Promise<number> {
  await until(() => childrenOf(pid)?.length === 1);
  return childrenOf(pid)?.[0] ?? 0;
}

test("readStat and its neighbours agree with what this process knows of itself", () => {
  const stat = readStat(process.pid);
  expect(stat).toMatchObject({ pid: process.pid, ppid: process.ppid, exitStatus: null });
  expect(readUid(process.pid)).toBe(process.getuid?.() ?? -1);
  expect(readStatus(process.pid)?.effectiveUid).toBe(process.geteuid?.() ?? -1);
  expect(readCommandLine(process.pid)?.[0]).toBe(process.argv0);
  expect(workingDirectory(process.pid)).toBe(process.cwd());
  expect(programPath(process.pid)).toBe(process.execPath);
  expect(sameMountNamespace(process.pid)).toBe(true);
  expect(listPids()).toContain(process.pid);
});

test("readStat reads a command that tries to look like the rest of the line", async () => {
  const child = start(["bash", "-c", "printf 'a) Z 1 (\\377\\n' > /proc/$$/comm; sleep 100; :"]);
  await until(() => readStat(child.pid)?.comm.startsWith("a)") === true);
  expect(readStat(child.pid)).toMatchObject({
    comm: "a) Z 1 (\ufffd\n",
    ppid: process.pid,
    state: "S",
  });
  expect(readUid(child.pid)).toBe(process.getuid?.() ?? -1);
});

test("a zombie shows its wait status and has no arguments", async () => {
  // sleep never asks for the child that it got from the shell before.
  const child = start(["sh", "-c", 'sh -c "exit 42" & exec sleep 100']);
  const zombie = await onlyChild(child.pid);
  await until(() => readStat(zombie)?.state === "Z");
  expect(readStat(zombie)?.exitStatus).toBe(42 << 8);
  expect(readCommandLine(zombie)).toEqual([]);
  expect(workingDirectory(zombie)).toBeNull();
});

test("a process that is gone gives null everywhere", async () => {
  const child = start(["true"]);
  await child.exited;
  for (const read of [
    readStat,
    readStatus,
    readUid,
    namespacePid,
    readCommandLine,
    readEnvironment,
    workingDirectory,
    workingDirectoryLink,
    programPath,
    childrenOf,
  ])
    expect(read(child.pid)).toBeNull();
  expect(sameMountNamespace(child.pid)).toBe(false);
});

test("nothing throws for any process of this machine, also while they come and go", async () => {
  const storm = start(["sh", "-c", "i=0; while [ $i -lt 300 ]; do true & i=$((i+1)); done; wait"]);
  let looks = 0;
  while (storm.exitCode === null || looks < 2) {
    for (const pid of listPids()) {
      readStat(pid);
      readStatus(pid);
      readCommandLine(pid);
      readEnvironment(pid);
      workingDirectory(pid);
      programPath(pid);
      sameMountNamespace(pid);
      childrenOf(pid);
    }
    looks++;
    await Bun.sleep(0);
  }
  expect(looks).toBeGreaterThan(0);
});

test("readEnvironment stops at 64 KiB and drops the value that it cut", async () => {
  const env = { FIRST: "1", HUGE: "x".repeat(100_000), LAST: "2" };
  const child = start(["/bin/sleep", "100"], { env });
  await until(() => readEnvironment(child.pid)?.has("FIRST") === true);
  expect([...(readEnvironment(child.pid)?.keys() ?? [])]).toEqual(["FIRST"]);
});

test("readCommandLine stops at its limit", async () => {
  const child = start(["sh", "-c", "sleep 100; :", "x".repeat(100_000)]);
  await until(() => readCommandLine(child.pid)?.[0] === "sh");
  const words = readCommandLine(child.pid) ?? [];
  expect(words.join("\0").length).toBeLessThanOrEqual(16 * 1024);
  expect(readCommandLine(child.pid, 5)).toEqual(["sh", "-c"]);
});

test("workingDirectory of a removed directory is null, of one with such a name is not", () =>
  withTempDirectory((root) => {
    const [removed, named] = [join(root, "removed"), join(root, "kept (deleted)")];
    mkdirSync(removed);
    mkdirSync(named);
    const [one, other] = [
      start(["sleep", "100"], { cwd: removed }),
      start(["sleep", "100"], { cwd: named }),
    ];
    rmdirSync(removed);
    expect(workingDirectory(one.pid)).toBeNull();
    expect(workingDirectoryLink(one.pid)).toBe(`${removed} (deleted)`);
    expect(workingDirectory(other.pid)).toBe(named);
  }));

test.skipIf(noNamespaces)(
  "namespacePid and sameMountNamespace see a container's process (needs root and unshare)",
  async () => {
    const child = start(["unshare", "--pid", "--fork", "--mount", "sleep", "100"]);
    const inner = await onlyChild(child.pid);
    await until(() => readCommandLine(inner)?.[0] === "sleep");
    expect(namespacePid(inner)).toBe(1);
    expect(namespacePid(process.pid)).not.toBe(1);
    expect(sameMountNamespace(inner)).toBe(false);
  },
);

test("childrenOf lists direct children", async () => {
  const child = start(["sh", "-c", "sleep 100 & sleep 100 & wait"]);
  await until(() => childrenOf(child.pid)?.length === 2);
  const found = childrenOf(child.pid) ?? [];
  expect(found.map((pid) => readStat(pid)?.ppid)).toEqual([child.pid, child.pid]);
});

test("boot tells of now what the clocks tell", () => {
  expect(bootId()).toMatch(/^[0-9a-f-]{36}$/);
  const up = uptimeMs() ?? 0;
  expect(up).toBeGreaterThan(0);
  // The kernel's own number is cut to the second, and follows later changes of the clock.
  expect(Math.abs(bootTimeMs() - bootTimeMs(Date.now()))).toBeLessThan(5_000);
  expect(ticksPerSecond()).toBe(Number(Bun.spawnSync(["getconf", "CLK_TCK"]).stdout.toString()));
  expect(pageBytes()).toBe(Number(Bun.spawnSync(["getconf", "PAGESIZE"]).stdout.toString()));
  const startedMs = ticksToMs(readStat(process.pid)?.startTicks ?? 0);
  expect(startedMs).toBeGreaterThan(0);
  expect(startedMs).toBeLessThanOrEqual(up + 20);
});

test("parseAuxiliary ignores half an entry", () => {
  const bytes = new Uint8Array(new BigUint64Array([6n, 65_536n, 17n]).buffer);
  expect([...parseAuxiliary(bytes)]).toEqual([[6, 65_536]]);
});

test("host memory is what the kernel says", () => {
  const memory = readHostMemory();
  expect(memory?.totalBytes).toBeGreaterThan(memory?.availableBytes ?? Infinity);
  expect(readHostMemory("/dev/null")).toBeNull();
  expect(readHostOomKills()).toBeGreaterThanOrEqual(0);
  expect(readHostOomKills("/nowhere")).toBeNull();
});
