// Agents on the command line: listed, braked, watched; and what doctor concludes.

import { afterAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { diagnose, type DaemonAnswer, type LocalFacts } from "../../src/cli/doctor-checks.ts";
import { createPaint } from "../../src/cli/paint.ts";
import { topFrame, type TopData } from "../../src/cli/top-frame.ts";
import { hasPty, onPty } from "../support/pty.ts";
import { startFakeObserver } from "./fake-observer.ts";
import { fakeRows } from "./fake-rows.ts";
import { run, type RunOptions } from "./run-cli.ts";
import { MAIN } from "./run/kit.ts";

// Programs are started, which takes seconds on a machine that is busy with other tests.
setDefaultTimeout(60_000);

const NOW = Date.parse("2026-01-31T08:00:00.000Z");
const server = startFakeObserver({ nowMs: NOW });
afterAll(() => server.stop());
beforeEach(() => void server.seen.splice(0));

const ask = (line: string, options: RunOptions = {}) =>
  run(line.split(" "), { nowMs: NOW, env: { OBSERVER_URL: server.url }, ...options });
const posted = () =>
  server.seen.filter(({ method }) => method === "POST").map(({ path, body }) => [path, body]);

describe("agents", () => {
  test("shows memory against its limit and the time to it", async () => {
    const { out } = await ask("agents", { columns: 120 });
    expect(out).toContain("3.8 GiB/4.0 GiB");
    expect(out).toContain("███");
    expect(out).toContain("2.5 s");
    expect(out).toContain("paused");
  });

  test("filters become query parameters", async () => {
    await ask("agents --kind codex --state paused");
    expect(server.seen[0]?.query).toMatchObject({ kind: "codex", state: "paused" });
    expect((await ask("agents --state sleeping")).status).toBe(2);
  });
});

describe("brakes", () => {
  test("pause sends the time as given, and says how to go on", async () => {
    const ran = await ask("pause 4711 --for 2h");
    expect(posted()).toEqual([["/agents/4711/pause", { for: "2h" }]]);
    expect(ran.out).toContain("4711-471100 is paused until 2026-01-31T08:30:00.000Z");
    expect(ran.err).toContain("observer resume 4711-471100");
    await ask("pause 4711");
    expect(posted()[1]).toEqual(["/agents/4711/pause", {}]);
    expect((await ask("pause 4711 --for soon")).status).toBe(2);
    expect((await ask("pause")).status).toBe(2);
  });

  test("resume says what the agent is now", async () => {
    expect((await ask("resume 4711")).out).toBe("4711-471100 is running\n");
    expect(JSON.parse((await ask("resume 4711 --json")).out).pid).toBe(4711);
  });

  test("kill ends the very process that it showed, and asks on a terminal only", async () => {
    const ran = await ask("kill 4711 --grace 30s");
    expect(ran.status).toBe(0);
    expect(posted()).toEqual([["/agents/4711-471100/kill", { grace_ms: 30_000 }]]);
    expect(ran.out).toBe("4711-471100 is gone: 2 processes in 40 ms, 0 by SIGKILL\n");
    const refused = await ask("kill 4711", { isTty: true, answer: "" });
    expect(refused.status).toBe(1);
    expect(refused.asked[0]).toContain("claude-code 4711-471100 in /srv/agents/shop");
    expect(posted()).toHaveLength(1);
    expect((await ask("kill 4711", { isTty: true, answer: "y" })).status).toBe(0);
    expect((await ask("kill 4711 --yes", { isTty: true })).asked).toEqual([]);
  });

  test("an agent that is not there ends with 1", async () => {
    const ran = await ask("kill 99");
    expect(ran.status).toBe(1);
    expect(ran.err).toContain('no row "99"');
    expect(posted()).toEqual([]);
  });
});

function topData(): TopData {
  const { agents, interruptions, sessions } = fakeRows(NOW);
  const host = {
    host: "build-07",
    memory: { total_bytes: 16, available_bytes: 4 },
    pressure: { memory: { some_avg10: 1.5 } },
  };
  const byId = Object.fromEntries(sessions.map((row) => [row["id"] as string, row]));
  return { agents, interruptions, host, sessions: byId };
}

describe("top", () => {
  const options = (columns: number, rows: number, colour = false) => ({
    size: { columns, rows },
    paint: createPaint(colour),
    nowMs: NOW,
  });

  test("a frame shows host, agents with their session's errors, and trouble", () => {
    const frame = topFrame({ data: topData() }, options(160, 40));
    for (const text of [
      "build-07",
      "2 agents",
      "memory 1.5 %",
      "3.8 GiB/4.0 GiB",
      "ERRORS",
      "COST",
    ]) {
      expect(frame).toContain(text);
    }
    expect(frame).toContain("dead_loop");
  });

  test("a frame fits its screen, whatever that is, and holds no control characters of agents", () => {
    const data = topData();
    const many = { ...data, agents: Array.from({ length: 50 }, () => data.agents).flat() };
    for (const columns of [40, 80, 200]) {
      for (const rows of [2, 10, 24]) {
        const frame = topFrame({ data: many }, options(columns, rows));
        const lines = frame.trimEnd().split("\n");
        expect(lines.length).toBeLessThan(rows);
        expect(frame).not.toMatch(/[^\P{Cc}\n]/u);
        expect(frame).not.toContain("\u202e");
        if (columns >= 80)
          for (const line of lines) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(columns);
      }
    }
    expect(topFrame({ data: many }, options(80, 24))).toContain("more: observer agents");
    expect(topFrame({ data }, options(80, 24, true))).toContain("\u001b[");
  });

  test("a daemon that went away is said above what was seen last", () => {
    const frame = topFrame({ trouble: "no observer\nanswers", data: topData() }, options(80, 24));
    expect(frame.split("\n")[0]).toBe("no observer\\nanswers");
    expect(frame).toContain("2 agents");
    expect(topFrame({ trouble: "gone", data: null }, options(80, 24))).toBe("gone\n");
  });

  test("prints one frame without a terminal, and one object as JSON", async () => {
    const ran = await ask("top");
    expect(ran.out).toContain("2 agents");
    expect(ran.out).not.toContain("\u001b");
    const data = JSON.parse((await ask("top --json")).out);
    expect(Object.keys(data).sort()).toEqual(["agents", "host", "interruptions", "sessions"]);
    expect(Object.keys(data.sessions)).toEqual(["8f14e45f-ceea-467f-a0e6-1c2b3d4e5f60"]);
  });

  test("keeps a screen on a terminal, and goes on when the daemon goes", async () => {
    const passing = startFakeObserver({ nowMs: NOW });
    const frames: string[] = [];
    const ran = await ask("top", {
      outputIsTty: true,
      env: { OBSERVER_URL: passing.url },
      local: {
        async showLive(frame) {
          frames.push(await frame({ columns: 80, rows: 24 }));
          await passing.stop();
          frames.push(await frame({ columns: 80, rows: 24 }));
          return 0;
        },
      },
    });
    expect(ran.status).toBe(0);
    expect(frames[0]).toStartWith("observer  build-07");
    expect(frames[1]).toStartWith("no observer answers");
    expect(frames[1]).toContain("observer  build-07");
  });
});

describe.skipIf(!hasPty())("top on a terminal", () => {
  const ENTER = "\u001b[?1049h";
  const LEAVE = "\u001b[?1049l";
  const top = [...MAIN, "top", "--url", server.url];
  const env = { PATH: process.env["PATH"] ?? "", TERM: "xterm", NO_COLOR: "1" };

  test("ends with q, Ctrl-C and a signal, and gives the screen back each time", async () => {
    for (const [end, status] of [
      [["send", "q"], 0],
      [["send", "\u0003"], 0],
      [["signal", 15], 143],
    ] as const) {
      const ran = await onPty(top, { cwd: "/", env, steps: [["expect", "2 agents"], [...end]] });
      expect(ran.status).toBe(status);
      expect(ran.out.indexOf(ENTER)).toBeGreaterThanOrEqual(0);
      expect(ran.out.lastIndexOf(LEAVE)).toBeGreaterThan(ran.out.lastIndexOf(ENTER));
      expect(ran.out).not.toContain("\u001b[31m");
    }
  });

  test("is drawn anew when the window changes", async () => {
    const ran = await onPty(top, {
      cwd: "/",
      env,
      steps: [
        ["expect", "2 agents"],
        ["resize", 40, 200],
        ["expect", "DIRECTORY"],
        ["send", "q"],
      ],
    });
    expect(ran.status).toBe(0);
  });
});

describe("doctor", () => {
  const LOCAL: LocalFacts = {
    dataDir: "/d",
    writable: true,
    reason: "",
    freeBytes: 1_000,
    freeBytesMin: 100,
    tokenMode: 0o600,
    socket: false,
  };
  const ABSENT: DaemonAnswer = {
    target: "/d/observer.sock",
    trouble: "absent",
    message: "no observer answers",
    facts: null,
  };
  const UP: DaemonAnswer = {
    target: "here",
    trouble: null,
    message: "",
    facts: {
      version: { version: "1", protection: { armed: true, workspaces: [] } },
      ready: { status: "ready" },
      vram: { disk: { data: { path: "/d", free_bytes: 1_000 } } },
    },
  };
  const PIDFD = { name: "pidfd", state: "ok", purpose: "p", reason: "works" };
  const KMSG = { name: "kmsg", state: "missing", purpose: "p", reason: "closed", fix: "open it" };
  const judge = (daemon: DaemonAnswer, local: Partial<LocalFacts> = {}, capabilities = [PIDFD]) =>
    diagnose(daemon, { local: { ...LOCAL, ...local }, capabilities, version: "1" });
  const stateOf = (diagnosis: ReturnType<typeof judge>, name: string) =>
    diagnosis.checks.find((check) => check.name === name)?.state;

  test("healthy is a daemon of this version, with room, and a host that allows everything", () => {
    const diagnosis = judge(UP);
    expect(diagnosis.state).toBe("healthy");
    expect(diagnosis.checks.every(({ state }) => state === "ok")).toBe(true);
  });

  test("degraded is no daemon, another version, a missing feature, an open token, a lost workspace", () => {
    expect(judge(ABSENT).state).toBe("degraded");
    expect(judge(ABSENT).checks[0]?.fix).toBe("observer");
    expect(judge(ABSENT, { socket: true }).checks[0]?.reason).toContain("left its socket");
    expect(judge(UP, {}, [PIDFD, KMSG]).state).toBe("degraded");
    expect(stateOf(judge(UP, { tokenMode: 0o644 }), "token")).toBe("degraded");
    const old = { ...UP, facts: { ...UP.facts!, version: { version: "0" } } };
    expect(stateOf(judge(old), "version")).toBe("degraded");
    const workspaces = [{ path: "/w", backend: null, reason: "gone" }];
    const protection = { armed: true, workspaces };
    const lost = { ...UP, facts: { ...UP.facts!, version: { version: "1", protection } } };
    expect(stateOf(judge(lost), "workspace")).toBe("degraded");
    expect(judge(lost).state).toBe("degraded");
  });

  test("broken is a data directory that cannot be written or is full, and a daemon that keeps nothing", () => {
    expect(judge(ABSENT, { writable: false, reason: "read-only" }).state).toBe("broken");
    expect(judge(ABSENT, { freeBytes: 99 }).state).toBe("broken");
    const vram = { disk: { data: { path: "/d", free_bytes: 1 } } };
    expect(judge({ ...UP, facts: { ...UP.facts!, vram } }).state).toBe("broken");
    const ready = { error: "Not ready: the disk is full" };
    expect(judge({ ...UP, facts: { ...UP.facts!, ready } }).state).toBe("broken");
    // The daemon's own directory counts, not that of whoever asks.
    expect(judge(UP, { writable: false }).state).toBe("healthy");
  });

  test("exit status 0, 1 and 2; asks the daemon, and tries by itself where none answers", async () => {
    const local = { inspectHost: () => LOCAL, tryCapabilities: async () => [KMSG as never] };
    const up = await ask("doctor --json", { local });
    const diagnosis = JSON.parse(up.out);
    expect(up.status).toBe(diagnosis.state === "healthy" ? 0 : 1);
    expect(diagnosis.checks.map((check: { name: string }) => check.name)).toContain("pidfd");
    const env = { OBSERVER_URL: "http://127.0.0.1:9" };
    const absent = await ask("doctor", { local, env });
    expect(absent.status).toBe(1);
    expect(absent.out).toContain("fix open it");
    expect(absent.out).toContain("fix observer");
    const broken = { ...local, inspectHost: () => ({ ...LOCAL, writable: false, reason: "no" }) };
    expect((await ask("doctor", { local: broken, env })).status).toBe(2);
  });

  test("says that a daemon does not know this user, and that a stranger has the port", async () => {
    const local = { inspectHost: () => LOCAL, tryCapabilities: async () => [] };
    const closed = startFakeObserver({ nowMs: NOW, token: "secret" });
    const refused = await ask("doctor", { local, env: { OBSERVER_URL: closed.url } });
    await closed.stop();
    expect(refused.status).toBe(1);
    expect(refused.out).toContain("but not to this user");
    const stranger = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hi") });
    const foreign = await ask("doctor", { local, env: { OBSERVER_URL: String(stranger.url) } });
    await stranger.stop(true);
    expect(foreign.status).toBe(1);
    expect(foreign.out).toContain("is not observer");
  });
});
