// Checkpoints beside live processes, and beside each other.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createKit, snapshotOf, type Kit, failureOf } from "../support/checkpoint-kit.ts";

let kit: Kit;
const children: Bun.Subprocess[] = [];
beforeEach(() => {
  kit = createKit();
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill("SIGKILL");
    await child.exited;
  }
  kit.remove();
});

const manual = { kind: "manual", reason: "manual" } as const;
const at = (name: string): string => join(kit.workspace, name);

function inside(script: string): Bun.Subprocess {
  const child = Bun.spawn(["/bin/sh", "-c", script], { cwd: kit.workspace });
  children.push(child);
  return child;
}

const stateOf = (pid: number): string =>
  /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1] ?? "";

test("concurrent creates of one workspace each get a row; two workspaces share the store", async () => {
  writeFileSync(at("a"), "x");
  const other = join(kit.root, "other");
  mkdirSync(other);
  writeFileSync(join(other, "b"), "y");
  const rows = await Promise.all(
    [kit.workspace, other, kit.workspace, other, kit.workspace].map((workspace) =>
      kit.service.create({ workspace, kind: "auto", reason: "dead_loop" }),
    ),
  );
  expect(rows.map((row) => row.status)).toEqual(["ok", "ok", "ok", "ok", "ok"]);
  expect(new Set(rows.map((row) => row.id)).size).toBe(5);
  expect(rows[2]?.ref).toBe(rows[0]?.ref ?? "");
  expect(kit.metrics.get("observer_checkpoints_total", { backend: "store", status: "ok" })).toBe(5);
}, 20_000);

test("create while an agent writes does not fail", async () => {
  mkdirSync(at("dir"));
  writeFileSync(at("log"), "x".repeat(1_000_000));
  inside(
    "i=0; while :; do i=$((i+1)); echo $i > dir/$((i % 50)); rm -f dir/$(((i + 25) % 50)); echo line >> log; mkdir -p t$((i%3)); rmdir t$(((i+1)%3)) 2>/dev/null; done",
  );
  await Bun.sleep(50);
  for (let round = 0; round < 5; round += 1) {
    const saved = await kit.service.create({ workspace: kit.workspace, ...manual });
    expect(saved).toMatchObject({ status: "ok", verified: true });
    expect(await kit.service.verify(saved.id)).toMatchObject({ ok: true });
  }
}, 30_000);

test("restore refuses while a process works in the tree, and names it; force goes on", async () => {
  writeFileSync(at("a"), "one");
  const saved = await kit.service.create({ workspace: kit.workspace, ...manual });
  writeFileSync(at("a"), "two");
  const { pid } = inside("exec sleep 1000");
  expect(await failureOf(kit.service.restore({ id: saved.id }))).toMatchObject({
    code: "occupied",
    detail: { pids: [pid] },
  });
  expect(readFileSync(at("a"), "utf8")).toBe("two");
  const done = await kit.service.restore({ id: saved.id, force: true });
  expect(done.status).toBe("done");
  expect(readFileSync(at("a"), "utf8")).toBe("one");
  expect(done.warnings[0]).toContain(`process ${pid}`);
});

test("freeze stops the writers for the restore and lets them go on", async () => {
  writeFileSync(at("a"), "one");
  const saved = await kit.service.create({ workspace: kit.workspace, ...manual });
  writeFileSync(at("a"), "two");
  const before = snapshotOf(kit.workspace, { directoryTimes: false });
  const { pid } = inside("exec sleep 1000");
  const states = new Set<string>();
  const watch = setInterval(() => states.add(stateOf(pid)), 1);
  const done = await kit.service.restore({ id: saved.id, freeze: true });
  clearInterval(watch);
  expect(states.has("T")).toBe(true);
  // Let go, whether it has slept again yet or still waits for a turn on a busy machine.
  expect(["S", "R"]).toContain(stateOf(pid));
  expect(done.status).toBe("done");
  expect(snapshotOf(kit.workspace, { directoryTimes: false })).not.toEqual(before);
  expect(readFileSync(at("a"), "utf8")).toBe("one");
});

test("stop ends running helpers and takes nothing new", async () => {
  writeFileSync(at("a"), "one");
  const script = join(kit.root, "hang.sh");
  writeFileSync(script, "sleep 1000\n");
  const service = kit.restarted({ helperCommand: ["/bin/sh", script] });
  const running = service.create({ workspace: kit.workspace, ...manual });
  await Bun.sleep(100);
  const started = performance.now();
  await service.stop();
  expect(await running).toMatchObject({ status: "failed" });
  expect(performance.now() - started).toBeLessThan(2_000);
  const after = await kit.service.inspect(kit.workspace);
  expect(after.backend).toBe("store");
});
