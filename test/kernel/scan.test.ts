import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { processTree, readLinks, treeIn } from "../../src/kernel/process-tree.ts";
import { childrenOf, readStat } from "../../src/kernel/procfs.ts";
import { createScanner } from "../../src/kernel/scan.ts";
import { until } from "../support/cgroups.ts";

// The machine may be busy, and the waits below take that into account.
setDefaultTimeout(30_000);

const children: Bun.Subprocess[] = [];
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(children.map(({ exited }) => exited));
});

function start(script: string): Bun.Subprocess<"pipe", "ignore", "ignore"> {
  const child = Bun.spawn(["sh", "-c", script], { stdio: ["pipe", "ignore", "ignore"] });
  children.push(child);
  return child;
}

const pidsOf = (processes: { pid: number }[]): number[] => processes.map(({ pid }) => pid);

test("scan tells of a process once when it comes and once when it goes", async () => {
  const scanner = createScanner();
  expect(pidsOf(scanner.scan("incremental").added)).toContain(process.pid);
  const child = start("read line; :");
  const { added, changed } = scanner.scan("incremental");
  expect(pidsOf(added)).toContain(child.pid);
  expect(pidsOf(changed)).not.toContain(process.pid);
  const seen = scanner.processes().get(child.pid);
  expect(seen).toMatchObject({ pid: child.pid, ppid: process.pid });
  expect(seen?.startTicks).toBe(readStat(child.pid)?.startTicks ?? -1);
  expect(pidsOf(scanner.scan("incremental").added)).not.toContain(child.pid);
  await child.stdin.end();
  await child.exited;
  expect(pidsOf(scanner.scan("incremental").gone)).toContain(child.pid);
  expect(scanner.processes().has(child.pid)).toBe(false);
  expect(pidsOf(scanner.scan("full").gone)).not.toContain(child.pid);
});

test("scan notices an exec: full always, incremental right after the fork", async () => {
  const scanner = createScanner();
  const child = start("read line; exec sleep 100");
  const other = start("read line; exec sleep 100");
  await until(() => readStat(other.pid)?.comm === "sh" && readStat(child.pid)?.comm === "sh");
  scanner.scan("incremental");
  await child.stdin.write("\n");
  await child.stdin.flush();
  await until(() => readStat(child.pid)?.comm === "sleep");
  expect(pidsOf(scanner.scan("incremental").changed)).toContain(child.pid);
  expect(scanner.processes().get(child.pid)?.command).toEqual(["sleep", "100"]);
  await other.stdin.write("\n");
  await other.stdin.flush();
  await until(() => readStat(other.pid)?.comm === "sleep");
  expect(pidsOf(scanner.scan("incremental").changed)).not.toContain(other.pid);
  expect(pidsOf(scanner.scan("full").changed)).toEqual(expect.arrayContaining([other.pid]));
});

test("scan does not take the end of a process for an exec", async () => {
  const scanner = createScanner();
  const parent = start('sh -c "read line; exit 3" <&0 & exec sleep 100');
  await until(() => childrenOf(parent.pid)?.length === 1);
  const pid = childrenOf(parent.pid)?.[0] ?? 0;
  await until(() => readStat(pid)?.comm === "sh");
  scanner.scan("full");
  const before = scanner.processes().get(pid)?.command;
  process.kill(pid, "SIGKILL");
  await until(() => readStat(pid)?.state === "Z");
  expect(pidsOf(scanner.scan("full").changed)).not.toContain(pid);
  expect(scanner.processes().get(pid)?.command).toEqual(before ?? []);
});

test("look reads one process, and tells that it is gone", async () => {
  const scanner = createScanner();
  const child = start("read line; :");
  expect(pidsOf(scanner.look(child.pid).added)).toEqual([child.pid]);
  await child.stdin.end();
  await child.exited;
  expect(pidsOf(scanner.look(child.pid).gone)).toEqual([child.pid]);
  expect(scanner.look(child.pid)).toEqual({ added: [], changed: [], gone: [] });
});

test("forget drops the process that was meant, and no later one with its number", () => {
  const scanner = createScanner();
  scanner.look(process.pid);
  scanner.forget({ pid: process.pid, startTicks: 1 });
  expect(scanner.processes().has(process.pid)).toBe(true);
  scanner.forget({ pid: process.pid, startTicks: readStat(process.pid)?.startTicks ?? 0 });
  expect(scanner.processes().has(process.pid)).toBe(false);
});

test("processTree finds every descendant, whatever its session or group", async () => {
  const child = start("(setsid sleep 100 & sleep 100 & wait) & sleep 100 & wait");
  const root = { pid: child.pid, startTicks: readStat(child.pid)?.startTicks ?? 0 };
  const sleepers = (): number =>
    processTree(root).filter(({ pid }) => readStat(pid)?.comm === "sleep").length;
  await until(() => sleepers() === 3);
  const tree = processTree(root);
  expect(tree[0]).toEqual(root);
  expect(tree.length).toBe(5);
  expect(pidsOf(tree)).not.toContain(process.pid);
  for (const { pid, startTicks } of tree) expect(readStat(pid)?.startTicks).toBe(startTicks);
  for (const { pid } of tree) process.kill(pid, "SIGKILL");
});

test("processTree of a process that was replaced is empty", () => {
  expect(processTree({ pid: process.pid, startTicks: 1 })).toEqual([]);
  expect(processTree({ pid: 2 ** 30, startTicks: 1 })).toEqual([]);
  expect(pidsOf(readLinks())).toContain(process.pid);
});

test("treeIn ends on circles and leaves out children that are older than their parent", () => {
  const links = [
    { pid: 1, startTicks: 10, ppid: 3 },
    { pid: 2, startTicks: 20, ppid: 1 },
    { pid: 3, startTicks: 30, ppid: 2 },
    { pid: 4, startTicks: 5, ppid: 2 },
  ];
  expect(pidsOf(treeIn(links, { pid: 1, startTicks: 10 }))).toEqual([1, 2, 3]);
});
