// The built program beside agents that the kernel kills: what it proves, saves and lets go on.

import { describe, expect, test } from "bun:test";
import { Glob } from "bun";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { torn, writeFirst } from "../support/consistent-cut.ts";
import { asUid, canBeNobody, createRoom, NOBODY } from "../support/daemon.ts";
import { type Daemon, observerBinary, type Row, startDaemon, until } from "../support/daemon.ts";

const HOG = join(import.meta.dir, "../support/programs/hog.ts");
const HASTY = join(import.meta.dir, "../support/programs/hasty-agent.ts");
const FILES = 300;
const BYTES = 4_096;

/** cgroup v1 or v2 memory that this user may use. */
const canLimit =
  process.geteuid?.() === 0 &&
  (existsSync("/sys/fs/cgroup/memory/memory.limit_in_bytes") ||
    (existsSync("/sys/fs/cgroup/cgroup.controllers") &&
      readFileSync("/sys/fs/cgroup/cgroup.controllers", "utf8").includes("memory")));
if (!canLimit) console.log("skipped: real OOM kills need root and a memory cgroup");

const CGROUPS = "/sys/fs/cgroup";
const canFreeze =
  existsSync(join(CGROUPS, "unified/cgroup.procs")) || existsSync(join(CGROUPS, "cgroup.procs"));
/** Each takes a second or two. */
const KILLS = process.env["OBSERVER_TEST_LONG"] === "1" ? 100 : 3;

const byType = async (daemon: Daemon, type: string, agent: string): Promise<Row[]> =>
  await daemon.list(`/interruptions?type=${type}&agent=${agent}`);

describe.if(canLimit)("an agent that the kernel kills for memory", () => {
  test("is an oom_kill with two proofs, its pid and its session, and no agent_crash", async () => {
    await using daemon = await startDaemon();
    const ran = await daemon.cli(
      "run",
      "--name",
      "hog",
      "--memory-max",
      "150M",
      "--",
      process.execPath,
      HOG,
      "400",
      "1000",
    );
    expect(ran.status).toBe(137);
    const kill = await until("the kill is proven twice", async () => {
      const [row] = await byType(daemon, "oom_kill", "hog");
      return ((row?.["detail"] as Row | undefined)?.["sources"] as string[])?.length >= 2 && row;
    });
    const detail = kill["detail"] as Row;
    expect(kill).toMatchObject({ severity: "critical", agent: "hog", count: 1 });
    expect(kill["session_id"]).toStartWith("run-");
    expect(detail).toMatchObject({ constraint: "memcg", memory_limit_bytes: 150 * 1024 * 1024 });
    const exits = await daemon.list(
      `/events?kind=process_exit&session_id=${String(kill["session_id"])}`,
    );
    expect(exits.map((row) => row["pid"])).toContain(detail["victim_pid"]);
    expect(await byType(daemon, "agent_crash", "hog")).toEqual([]);
  }, 30_000);

  test("has its workspace saved, whole, before that", async () => {
    await using daemon = await startDaemon();
    using workspace = createRoom();
    writeFirst(workspace.path, FILES, BYTES);
    const agent = [HASTY, workspace.path, `${FILES}`, `${BYTES}`, "1500", "1000"];
    const where = ["--memory-max", "150M", "--workspace", workspace.path];
    const ran = await daemon.cli("run", ...where, "--", process.execPath, ...agent);
    expect(ran.status).toBe(137);
    const saved = await until("there is a verified checkpoint", async () =>
      (await daemon.list("/checkpoints")).find(
        (row) => row["kind"] === "auto" && row["verified"] === true,
      ),
    );
    expect(saved["reason"]).toBe("memory_pressure");
    const copy = mkdtempSync(join(tmpdir(), "observer-copy-"));
    const out = await daemon.cli(
      "checkpoint",
      "restore",
      String(saved["id"]),
      "--to",
      copy,
      "--yes",
    );
    expect(out.stderr).not.toContain("failed");
    expect(torn(copy, FILES, BYTES)).toBeNull();
    rmSync(copy, { recursive: true });
  }, 30_000);
});

/** `cgroup.events` or `freezer.state` of the run's own cgroup, wherever it was made. */
function frozenState(runId: string): string | null {
  const files = new Glob(`**/run-${runId}/cgroup.events`);
  const [path] = seen(() => [...files.scanSync({ cwd: CGROUPS, absolute: true })]) ?? [];
  if (path === undefined) return null;
  return /^frozen (\d)$/m.exec(seen(() => readFileSync(path, "utf8")) ?? "")?.[1] ?? null;
}

/** Null when it went away meanwhile. */
function seen<T>(look: () => T): T | null {
  try {
    return look();
  } catch {
    return null;
  }
}

describe.if(canLimit && canFreeze)("an agent that stands when observer is killed", () => {
  test(
    `goes on within a second, ${KILLS} times`,
    async () => {
      for (let time = 0; time < KILLS; time += 1) await killWhileFrozen();
    },
    KILLS * 30_000,
  );
});

async function killWhileFrozen(): Promise<void> {
  const daemon = await startDaemon();
  using workspace = createRoom();
  // So many that the agent stands while they are saved.
  writeFirst(workspace.path, 8_000, 64);
  const where = ["--memory-max", "150M", "--workspace", workspace.path];
  const agent = `sleep 1; exec ${process.execPath} ${HOG} 1000 1000`;
  const running = daemon.cli("run", ...where, "--", "sh", "-c", agent);
  try {
    const runId = await until("the run is known", async () => {
      const [agent] = await daemon.list("/agents");
      const id = agent?.["run_id"];
      return typeof id === "string" && id;
    });
    await until("the agent stands", () => frozenState(runId) === "1");
    await daemon.kill9();
    const killed = performance.now();
    await until("it goes on", () => frozenState(runId) !== "1");
    expect(performance.now() - killed).toBeLessThan(1_000);
    expect((await running).status).toBe(137);
  } finally {
    await daemon[Symbol.asyncDispose]();
  }
}

describe("an agent started by observer run", () => {
  for (const [script, expected] of [
    ["exit 0", []],
    ["exit 1", []],
    ["kill -TERM $$", []],
    ["kill -KILL $$", ["agent_crash"]],
    ["kill -SEGV $$", ["agent_crash"]],
  ] as const) {
    test(
      `${script}: ${expected.join() || "nothing"} is reported`,
      { timeout: 20_000 },
      async () => {
        await using daemon = await startDaemon();
        const run = ["run", "--name", "script", "--", "sh", "-c", `sleep 0.3; ${script}`];
        await daemon.cli(...run);
        // Other agents may live and die on this host meanwhile.
        await until("its end is known", async () => {
          const [exit] = await daemon.list("/events?kind=process_exit&agent=script");
          return exit;
        });
        const rows = await daemon.list("/interruptions?agent=script");
        expect(rows.map((row) => row["type"])).toEqual([...expected]);
      },
    );
  }

  test.if(canBeNobody())("is watched by an observer without privileges too", async () => {
    await using daemon = await startDaemon({ uid: NOBODY });
    const command = ["run", "--data", daemon.data, "--", "sh", "-c", "sleep 0.3; kill -KILL $$"];
    const run = Bun.spawn(asUid(NOBODY, [observerBinary(), ...command]), {
      cwd: tmpdir(),
      env: { PATH: "/usr/bin:/bin" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    expect(await run.exited).toBe(137);
    const crash = await until("the crash is told", async () => {
      const [row] = await byType(daemon, "agent_crash", "sh");
      return row;
    });
    expect(crash["detail"]).toMatchObject({ signal: "SIGKILL" });
  });
});
