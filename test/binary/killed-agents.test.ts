// The built program beside agents that the kernel kills: what it proves, saves and lets go on.

import { describe, expect, test } from "bun:test";
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

const byType = async (daemon: Daemon, type: string): Promise<Row[]> =>
  (await daemon.list("/interruptions")).filter((row) => row["type"] === type);

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
      const [row] = await byType(daemon, "oom_kill");
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
    expect(await byType(daemon, "agent_crash")).toEqual([]);
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

describe("an agent started by observer run", () => {
  for (const [script, expected] of [
    ["exit 0", []],
    ["exit 1", []],
    ["kill -TERM $$", []],
    ["kill -KILL $$", ["agent_crash"]],
    ["kill -SEGV $$", ["agent_crash"]],
  ] as const) {
    test(`${script}: ${expected.join() || "nothing"} is reported`, async () => {
      await using daemon = await startDaemon();
      await daemon.cli("run", "--name", "script", "--", "sh", "-c", `sleep 0.3; ${script}`);
      await until("its end is known", async () => {
        const [exit] = await daemon.list("/events?kind=process_exit");
        return exit;
      });
      const rows = await daemon.list("/interruptions");
      expect(rows.map((row) => row["type"])).toEqual([...expected]);
    });
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
      const [row] = await byType(daemon, "agent_crash");
      return row;
    });
    expect(crash["detail"]).toMatchObject({ signal: "SIGKILL" });
  });
});
