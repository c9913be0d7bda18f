// Runs and the host over HTTP: who may tell of a run, what a run must say, what `/vram` shows.

import { describe, expect, test } from "bun:test";
import { bodyOf, caller, createFake, OWN_UID } from "../support/fake-api-deps.ts";

const RUN = {
  id: "k3v9a7f2m0c5x",
  name: null,
  pid: 4_321,
  start_ticks: 77,
  started_ms: 1_767_225_600_000,
  command: ["claude", "-p", "hello"],
  cwd: "/w",
  workspace: "/w",
  containment: "cgroup",
  cgroups: { unified: null, memory: "/m/observer-0/run-k3v9", memory_version: 1, freezer: null },
  memory_limit_bytes: null,
};

const CLAIM = { pid: RUN.pid, start_ticks: RUN.start_ticks, command: RUN.command };

const post = (body: unknown) => ({ method: "POST", body: JSON.stringify(body) });

describe("POST /runs", () => {
  test("hands the run over with the caller that the kernel names", async () => {
    const fake = createFake();
    fake.deps.peerUid = () => 4_242;
    const { call } = caller(fake);
    const answer = await call("/runs", { ...post(RUN), via: "loopback" });
    expect(answer.status).toBe(201);
    expect(await bodyOf(answer)).toEqual({
      run_id: RUN.id,
      session_id: `run-${RUN.id}`,
      agent_id: "4321-77",
      workspace: "/w",
    });
    const [, request, uid] = fake.calls[0] as [string, Record<string, unknown>, number];
    expect(uid).toBe(4_242);
    expect(request).toMatchObject({
      pid: 4_321,
      startTicks: 77,
      containment: "cgroup",
      cgroups: { memory: "/m/observer-0/run-k3v9", memoryVersion: 1 },
    });
  });

  test("is observer's own user on the unix socket", async () => {
    const fake = createFake();
    await caller(fake).call("/runs", post(RUN));
    expect((fake.calls[0] as unknown[])[2]).toBe(OWN_UID);
  });

  test("is refused where the kernel does not tell who calls, and from the network", async () => {
    const fake = createFake({ insecure: true });
    const { call } = caller(fake);
    for (const via of ["loopback", "network"] as const) {
      expect((await call("/runs", { ...post(RUN), via })).status).toBe(403);
      const exit = post({ ...CLAIM, exit_code: 0, duration_ms: 1 });
      expect((await call("/runs/x/exit", { ...exit, via })).status).toBe(403);
    }
    expect(fake.calls).toEqual([]);
  });

  test("names the field that is wrong", async () => {
    const { call } = caller(createFake());
    for (const [field, value] of [
      ["id", "../etc"],
      ["pid", 0],
      ["start_ticks", "1"],
      ["workspace", ""],
      ["containment", "jail"],
      ["command", "claude"],
      ["colour", "red"],
    ] as const) {
      const answer = await call("/runs", post({ ...RUN, [field]: value }));
      expect([field, answer.status]).toEqual([field, 400]);
      expect((await bodyOf(answer))["field"]).toBe(field);
    }
    const { pid: _, ...without } = RUN;
    expect((await bodyOf(await call("/runs", post(without))))["field"]).toBe("pid");
  });
});

describe("POST /runs/:id/exit", () => {
  test("hands the facts over", async () => {
    const fake = createFake();
    const { call } = caller(fake);
    const body = { ...CLAIM, signal: "SIGKILL", duration_ms: 12.5 };
    expect(await bodyOf(await call(`/runs/${RUN.id}/exit`, post(body)))).toEqual({
      accepted: true,
    });
    expect(fake.calls[0]).toEqual([
      "exit",
      RUN.id,
      {
        pid: 4_321,
        startTicks: 77,
        name: null,
        command: RUN.command,
        workspace: null,
        exitCode: null,
        signal: "SIGKILL",
        durationMs: 12.5,
      },
      OWN_UID,
    ]);
  });

  test("is 404 for a run that is not known, and 400 for an end that is none", async () => {
    const { call } = caller(createFake());
    const good = { ...CLAIM, exit_code: 0, duration_ms: 1 };
    expect((await call("/runs/unknown/exit", post(good))).status).toBe(404);
    for (const bad of [
      { duration_ms: 1 },
      { exit_code: 0, signal: "SIGTERM", duration_ms: 1 },
      { exit_code: 256, duration_ms: 1 },
      { signal: "SIGNOTHING", duration_ms: 1 },
      { signal: "constructor", duration_ms: 1 },
      { exit_code: 0 },
    ]) {
      const answer = await call(`/runs/${RUN.id}/exit`, post({ ...CLAIM, ...bad }));
      expect(answer.status).toBe(400);
    }
  });
});

describe("the host", () => {
  test("GET and POST /vram show GPUs, memory, pressure and disks", async () => {
    const { call } = caller(createFake({ data_dir: "/", workspaces: ["/nonexistent"] }));
    for (const options of [{}, post({})]) {
      const answer = await call("/vram", options);
      expect(answer.status).toBe(200);
      const body = await bodyOf(answer);
      expect(body["gpus"]).toEqual([{ name: "H200", memory: { total_bytes: 5 } }]);
      const memory = body["memory"] as Record<string, number>;
      expect(memory["total_bytes"]).toBeGreaterThan(memory["available_bytes"] ?? Infinity);
      expect(Object.keys(body["pressure"] as object)).toEqual(["memory", "cpu", "io"]);
      const disk = body["disk"] as { data: Record<string, number>; workspaces: unknown[] };
      expect(disk.data["total_bytes"]).toBeGreaterThan(0);
      expect(disk.workspaces).toEqual([
        { path: "/nonexistent", total_bytes: null, free_bytes: null },
      ]);
    }
  });

  test("GET /capabilities lists what the host allows", async () => {
    const body = await bodyOf(await caller(createFake()).call("/capabilities"));
    expect((body["items"] as { name: string }[]).map(({ name }) => name)).toEqual([
      "pidfd",
      "kmsg",
    ]);
  });
});
