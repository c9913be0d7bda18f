// Live agents over HTTP: shown in the contract's shape, filtered, named in several ways, braked.

import { describe, expect, test } from "bun:test";
import { agent } from "../support/fake-agents.ts";
import { bodyOf, caller, createFake, NOW, READ_TOKEN } from "../support/fake-api-deps.ts";

function withAgents() {
  const fake = createFake();
  fake.agents.live.push(
    agent(10),
    agent(20, { kind: "codex", runId: "r1", ownCgroup: true }),
    agent(30, { sessionId: null }),
  );
  return { fake, ...caller(fake) };
}

type Row = Record<string, unknown>;
const idsOf = (body: Row): unknown[] => (body["items"] as Row[]).map((row) => row["id"]);

describe("GET /agents", () => {
  test("shows every field of the contract, last started first", async () => {
    const { call } = withAgents();
    const body = await bodyOf(await call("/agents"));
    expect(idsOf(body)).toEqual(["30-300", "20-200", "10-100"]);
    expect(body["next_cursor"]).toBeNull();
    expect((body["items"] as Row[])[1]).toEqual({
      id: "20-200",
      kind: "codex",
      host: "test-host",
      pid: 20,
      start_time: new Date(NOW + 20).toISOString(),
      start_ticks: 200,
      started_at: new Date(NOW + 20).toISOString(),
      uid: 1000,
      command: "claude",
      cwd: "/w",
      workspace: "/w",
      session_id: "s20",
      run_id: "r1",
      cgroup: "/m",
      own_cgroup: true,
      rss_bytes: 1_000,
      memory_usage_bytes: null,
      memory_limit_bytes: 4_000,
      time_to_limit_ms: null,
      state: "running",
      paused_until: null,
    });
  });

  test("every scalar field filters, null too, and an unknown one is refused with the known ones", async () => {
    const { call } = withAgents();
    const row = (await bodyOf(await call("/agents/20-200"))) as Row;
    for (const [field, value] of Object.entries(row)) {
      const answer = await call(`/agents?${field}=${encodeURIComponent(String(value))}`);
      expect([field, answer.status]).toEqual([field, 200]);
      expect(idsOf(await bodyOf(answer))).toContain("20-200");
    }
    expect(idsOf(await bodyOf(await call("/agents?kind=codex")))).toEqual(["20-200"]);
    expect(idsOf(await bodyOf(await call("/agents?session_id=null")))).toEqual(["30-300"]);
    expect(idsOf(await bodyOf(await call("/agents?own_cgroup=true")))).toEqual(["20-200"]);
    expect(idsOf(await bodyOf(await call(`/agents?since=${NOW + 20}&until=${NOW + 20}`)))).toEqual([
      "20-200",
    ]);
    for (const query of ["colour=red", "pid=x", "own_cgroup=1", "cursor=zz", "constructor=1"]) {
      expect((await call(`/agents?${query}`)).status).toBe(400);
    }
  });

  test("pages through all of them", async () => {
    const { call } = withAgents();
    const seen: unknown[] = [];
    let more = "";
    do {
      const page = await bodyOf(await call(`/agents?limit=1${more}`));
      seen.push(...idsOf(page));
      const cursor = page["next_cursor"] as string | null;
      more = cursor === null ? "" : `&cursor=${cursor}`;
    } while (more !== "");
    expect(seen).toEqual(["30-300", "20-200", "10-100"]);
  });

  test("tells stopped, zombie and gone from running, and paused from all of them", async () => {
    const { fake, call } = withAgents();
    const stateOf = async (): Promise<unknown> =>
      (await bodyOf(await call("/agents/10-100")))["state"];
    for (const [letter, state] of [
      ["T", "stopped"],
      ["Z", "zombie"],
      ["R", "running"],
      ["D", "running"],
    ] as const) {
      fake.agents.letters.set(10, letter);
      expect(await stateOf()).toBe(state);
    }
    fake.agents.letters.set(10, "T");
    await call("/agents/10/pause", { method: "POST" });
    expect(await stateOf()).toBe("paused");
  });
});

describe("an agent's name", () => {
  test("may be its id, pid, session, run or kind", async () => {
    const { call } = withAgents();
    for (const name of ["20-200", "20", "s20", "r1", "codex"]) {
      expect((await bodyOf(await call(`/agents/${name}`)))["id"]).toBe("20-200");
    }
  });

  test("is 404 when nobody has it, 409 with candidates when several do, 410 when the pid is another's", async () => {
    const { call } = withAgents();
    expect((await call("/agents/99")).status).toBe(404);
    expect((await call("/agents/99-1")).status).toBe(404);
    const ambiguous = await call("/agents/claude-code");
    expect(ambiguous.status).toBe(409);
    expect((await bodyOf(ambiguous))["candidates"]).toEqual(["10-100", "30-300"]);
    const gone = await call("/agents/10-99/kill", { method: "POST" });
    expect(gone.status).toBe(410);
    expect((await bodyOf(gone))["code"]).toBe("vanished");
  });
});

describe("brakes over HTTP", () => {
  test("pause answers the lease, of the length that was asked for or 30 minutes", async () => {
    const { fake, call } = withAgents();
    const pause = async (body: string): Promise<Row> =>
      await bodyOf(await call("/agents/10/pause", { method: "POST", body }));
    const lease = await pause('{"for":"2h"}');
    expect(lease).toEqual({
      agent_id: "10-100",
      pid: 10,
      method: "freezer",
      since: new Date(NOW).toISOString(),
      until: new Date(NOW + 2 * 3_600_000).toISOString(),
    });
    await pause("");
    await pause('{"for_ms":5000}');
    expect(fake.calls.map((one) => (one as unknown[])[2])).toEqual([7_200_000, 1_800_000, 5_000]);
    const shown = await bodyOf(await call("/agents/10"));
    expect(shown["paused_until"]).toBe(new Date(NOW + 5_000).toISOString());
  });

  test("resume answers the agent, kill the report", async () => {
    const { fake, call } = withAgents();
    await call("/agents/10/pause", { method: "POST" });
    const resumed = await bodyOf(await call("/agents/10/resume", { method: "POST" }));
    expect([resumed["id"], resumed["state"]]).toEqual(["10-100", "running"]);
    const killed = await bodyOf(
      await call("/agents/10/kill", { method: "POST", body: '{"grace_ms":0}' }),
    );
    expect(killed).toEqual({
      agent_id: "10-100",
      pids: [10, 11],
      killed: [],
      survivors: [],
      duration_ms: 12,
    });
    expect(fake.calls.at(-1)).toEqual(["kill", "10-100", 0]);
  });

  test("pause and kill that name no time take that of the settings", async () => {
    const { fake, call } = withAgents();
    Object.assign(fake.deps.settings, { "agents.pause_ms": 90_000, "agents.kill_grace_ms": 250 });
    await call("/agents/10/pause", { method: "POST" });
    await call("/agents/10/kill", { method: "POST" });
    expect(fake.calls.map((one) => (one as unknown[])[2])).toEqual([90_000, 250]);
  });

  test("a kill that somebody survived is a failure, with the report", async () => {
    const { fake, call } = withAgents();
    fake.agents.survivors.push(11);
    const answer = await call("/agents/10/kill", { method: "POST" });
    expect(answer.status).toBe(500);
    expect(((await bodyOf(answer))["report"] as Row)["survivors"]).toEqual([11]);
  });

  test("bad fields are 400 with field, value and rule", async () => {
    const { call } = withAgents();
    for (const [path, body, field] of [
      ["pause", '{"for":"soon"}', "for"],
      ["pause", '{"for":"1ms"}', "for"],
      ["pause", '{"for":"1h","for_ms":5000}', "for"],
      ["pause", '{"for_ms":-1}', "for_ms"],
      ["pause", '{"four":"1h"}', "four"],
      ["kill", '{"grace_ms":"1s"}', "grace_ms"],
      ["resume", '{"x":1}', "x"],
    ] as const) {
      const answer = await call(`/agents/10/${path}`, { method: "POST", body });
      const problem = await bodyOf(answer);
      expect([body, answer.status, problem["field"]]).toEqual([body, 400, field]);
      expect(problem["rule"]).toBeString();
      expect(problem["value"]).toBeString();
    }
  });

  test("needs the scope admin", async () => {
    const { call } = withAgents();
    const headers = { authorization: `Bearer ${READ_TOKEN}` };
    expect((await call("/agents", { headers })).status).toBe(200);
    const answer = await call("/agents/10/kill", { method: "POST", headers });
    expect(answer.status).toBe(403);
  });
});
