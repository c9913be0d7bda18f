// What a run tells: to a daemon that is there, to one that comes later or goes, and to the spool where there is none.

import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createClient } from "../../../src/cli/client.ts";
import { createReporter, type Pace } from "../../../src/cli/offline/run/report.ts";
import { createSpoolFile } from "../../../src/cli/offline/run/spool-file.ts";
import { instanceName } from "../../../src/config/instance-name.ts";
import type { EventDraft, Receipt } from "../../../src/core/event.ts";
import type { RunRequest } from "../../../src/core/run.ts";
import { createSpool } from "../../../src/sources/spool.ts";
import { createMetrics } from "../../../src/telemetry/metrics.ts";
import { until } from "../../support/daemon.ts";
import { type FakeObserver, startFakeObserver } from "../fake-observer.ts";
import { createRoom, type Room, run, startRun } from "./kit.ts";

// Programs are started, which takes seconds on a machine that is busy with other tests.
setDefaultTimeout(60_000);

const servers: FakeObserver[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

interface DaemonOptions {
  /** Answers that the run is gone already, as for one that was too short. */
  tooLate?: boolean;
  /** Does not take the end of a run. */
  noExits?: boolean;
}

/** A daemon on the room's socket that takes runs. */
function daemonIn(room: Room, options: DaemonOptions = {}): FakeObserver {
  mkdirSync(room.data, { recursive: true });
  const problem = (status: number) => Response.json({ error: "no" }, { status });
  const server = startFakeObserver({
    unix: join(room.data, "observer.sock"),
    nowMs: 0,
    answer(path) {
      if (path === "/runs") {
        return options.tooLate ? problem(410) : Response.json({ run_id: "r" }, { status: 201 });
      }
      if (path.startsWith("/runs/")) {
        return options.noExits ? problem(503) : Response.json({ accepted: true });
      }
      if (path === "/events") return Response.json({ accepted: 4, duplicates: 0, rejected: [] });
      return undefined;
    },
  });
  servers.push(server);
  return server;
}

const spooledIn = (room: Room): string[] => {
  const directory = join(room.data, "spool");
  return existsSync(directory) ? readdirSync(directory) : [];
};

type Row = Record<string, unknown>;
const kinds = (rows: Row[]): unknown[] => rows.map(({ kind }) => kind);
const ALL = ["session_start", "process_start", "process_exit", "session_end"];

describe("with a daemon", () => {
  test("a run is told at its start and at its end, and nothing is spooled", async () => {
    using room = createRoom();
    const server = daemonIn(room);
    const ran = await run(room, ["--name", "tester", "--", "sh", "-c", "sleep 0.2; exit 5"]);
    expect(ran.status).toBe(5);
    const [told, exit] = server.seen.map(({ method, path, body }) => ({ method, path, body }));
    expect(told).toMatchObject({ method: "POST", path: "/runs" });
    const request = told?.body as Row;
    expect(request).toMatchObject({
      name: "tester",
      command: ["sh", "-c", "sleep 0.2; exit 5"],
      cwd: room.work,
      workspace: room.work,
      memory_limit_bytes: null,
    });
    expect(request["start_ticks"]).toBeGreaterThan(0);
    expect(exit?.path).toBe(`/runs/${request["id"] as string}/exit`);
    expect(exit?.body).toMatchObject({ exit_code: 5, signal: null, pid: request["pid"] });
    const { memory } = (request["cgroups"] ?? {}) as { memory?: string | null };
    if (memory) expect(memory).toContain(`/${instanceName(room.data)}/run-`);
    expect(spooledIn(room)).toEqual([]);
  });

  test("a run that was over too soon is told whole at its end", async () => {
    using room = createRoom();
    const server = daemonIn(room, { tooLate: true });
    expect((await run(room, ["--quiet", "--", "true"])).status).toBe(0);
    expect(server.seen.at(-1)?.body).toMatchObject({ command: ["true"], workspace: room.work });
    expect(spooledIn(room)).toEqual([]);
  });

  test("where it takes no runs they are told as events", async () => {
    using room = createRoom();
    const server = daemonIn(room, { tooLate: true, noExits: true });
    expect((await run(room, ["--quiet", "--", "true"])).status).toBe(0);
    const sent = server.seen.find(({ path }) => path === "/events")?.body as Row[];
    expect(kinds(sent)).toEqual(ALL);
    expect(spooledIn(room)).toEqual([]);
  });

  test("one that hangs holds CMD's exit up for a second at most", async () => {
    using room = createRoom();
    mkdirSync(room.data);
    const socket = join(room.data, "observer.sock");
    const silent = Bun.listen({ unix: socket, socket: { data: () => undefined } });
    const from = performance.now();
    const ran = await run(room, ["--", "sh", "-c", "exit 4"]);
    silent.stop(true);
    expect(ran.status).toBe(4);
    // One second, and the start of two programs on a busy machine.
    expect(performance.now() - from).toBeLessThan(20_000);
    expect(spooledIn(room)).toHaveLength(1);
  });
});

describe("without a daemon", () => {
  test("the run is spooled, for its owner's eyes only, and said so; the next start takes it in", async () => {
    using room = createRoom();
    const ran = await run(room, ["--", "sh", "-c", "kill -SEGV $$"]);
    expect(ran.status).toBe(139);
    expect(ran.err).toContain("no observer answers");
    const [name = ""] = spooledIn(room);
    const path = join(room.data, "spool", name);
    expect(ran.err).toContain(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);

    const taken: EventDraft[] = [];
    const { spool, metrics } = spoolIn(room, taken);
    await spool.drain();
    expect(kinds(taken as unknown as Row[])).toEqual(ALL);
    expect(taken.map(({ source }) => source)).toEqual(["run", "kernel", "kernel", "run"]);
    expect(taken[1]?.id).toMatch(/^start:[0-9a-f]{8}:\d+:\d+$/);
    expect(taken[2]?.data).toMatchObject({ signal: "SIGSEGV", seen_by: ["parent"] });
    expect(new Set(taken.map(({ sessionId }) => sessionId)).size).toBe(1);
    expect(spooledIn(room)).toEqual([]);
    expect(metrics.get("observer_spool_events_total", { outcome: "accepted" })).toBe(4);
  });

  test("a data directory that cannot be written does not keep CMD from running", async () => {
    using room = createRoom();
    writeFileSync(room.data, "a file");
    const ran = await run(room, ["--", "echo", "on"]);
    expect([ran.status, ran.text]).toEqual([0, "on\n"]);
    expect(ran.err).toContain("nothing can be kept of this run");
  });

  test("CMD lives on when observer run is killed, and its start is in the spool", async () => {
    using room = createRoom();
    const child = startRun(room, ["--quiet", "--", "sh", "-c", "echo $$; sleep 30"]);
    const first = await child.stdout.getReader().read();
    const pid = Number(new TextDecoder().decode(first.value));
    await until("the start is spooled", () => spooledIn(room).length > 0);
    child.kill("SIGKILL");
    await child.exited;
    expect(() => process.kill(pid, 0)).not.toThrow();
    process.kill(pid, "SIGKILL");
    const [name = ""] = spooledIn(room);
    const lines = readFileSync(join(room.data, "spool", name), "utf8")
      .trim()
      .split("\n");
    expect(kinds(lines.map((line) => JSON.parse(line) as Row))).toEqual(ALL.slice(0, 2));
  });
});

const PACE: Pace = { retryMs: 20, confirmMs: 20, farewellMs: 5_000 };

function reporterIn(room: Room) {
  const request: RunRequest = {
    id: "k3v9a7f2m0c5x",
    name: null,
    pid: 4_321,
    startTicks: 77,
    startedMs: 1_767_225_600_000,
    command: ["x"],
    cwd: room.work,
    workspace: null,
    containment: "group",
    cgroups: null,
    memoryLimitBytes: null,
  };
  const said: string[] = [];
  const facts = { request, agent: "x", uid: 1000, bootId: "0123456789abcdef" };
  const socket = join(room.data, "observer.sock");
  const reporter = createReporter(facts, {
    connect: () => createClient([{ url: "http://localhost", unix: socket }], 1_000),
    spool: createSpoolFile(room.data, request.id),
    say: (text) => void said.push(text),
    pace: PACE,
  });
  return { reporter, said };
}

const ENDED = { exitCode: 0, signal: null, durationMs: 5 };

describe("createReporter", () => {
  test("tells a daemon that comes later, and takes its spool back", async () => {
    using room = createRoom();
    const { reporter, said } = reporterIn(room);
    reporter.start();
    await until("it is spooled", () => spooledIn(room).length === 1);
    const server = daemonIn(room);
    await until("the daemon is told", () => server.seen.length > 0);
    await until("the spool is empty", () => spooledIn(room).length === 0);
    await reporter.finish(ENDED, null);
    expect(server.seen.at(-1)?.path).toBe("/runs/k3v9a7f2m0c5x/exit");
    expect(said).toHaveLength(1);
  });

  test("tells again, so that a daemon that was restarted knows; one that went leaves a spool", async () => {
    using room = createRoom();
    const server = daemonIn(room);
    const { reporter } = reporterIn(room);
    reporter.start();
    await until("it is told three times", () => server.seen.length >= 3);
    await server.stop();
    await reporter.finish(ENDED, null);
    expect(spooledIn(room)).toHaveLength(1);
  });
});

function spoolIn(room: Room, taken: EventDraft[], status: Receipt["status"] = "accepted") {
  const metrics = createMetrics();
  const logged: string[] = [];
  const log = (message: string): void => void logged.push(message);
  const receipt = (): Receipt =>
    status === "rejected"
      ? { status, code: "storage", reason: "full" }
      : { status, id: "e", seq: 1 };
  const spool = createSpool(join(room.data, "spool"), {
    offer: async (drafts) => {
      taken.push(...drafts);
      return drafts.map(receipt);
    },
    log: { error: log, warn: log, info: log, debug: log },
    metrics,
    now: () => 1_767_225_600_000,
  });
  return { spool, metrics, logged };
}

describe("createSpool", () => {
  const file = (room: Room, name: string): string => {
    mkdirSync(join(room.data, "spool"), { recursive: true });
    return join(room.data, "spool", name);
  };

  test("counts lines that it cannot read and sets them aside, the others are taken", async () => {
    using room = createRoom();
    writeFileSync(file(room, "run-a.ndjson"), '{"kind":"note"}\n{"bad\n{"kind":"nothing"}\n\n');
    const taken: EventDraft[] = [];
    const { spool, metrics } = spoolIn(room, taken);
    await spool.drain();
    expect(taken).toHaveLength(1);
    expect(metrics.get("observer_spool_events_total", { outcome: "corrupt" })).toBe(2);
    expect(spooledIn(room)).toEqual(["run-a.ndjson.bad"]);
    await spool.drain();
    expect(taken).toHaveLength(1);
  });

  test("keeps what was refused for the next start", async () => {
    using room = createRoom();
    writeFileSync(file(room, "run-a.ndjson"), '{"kind":"note"}\n');
    await spoolIn(room, [], "rejected").spool.drain();
    expect(spooledIn(room)).toEqual(["run-a.ndjson.taken"]);
    const taken: EventDraft[] = [];
    await spoolIn(room, taken).spool.drain();
    expect(taken).toHaveLength(1);
    expect(spooledIn(room)).toEqual([]);
  });

  test("does not follow links, read what is no file, or stop at either", async () => {
    using room = createRoom();
    mkdirSync(file(room, "run-a.ndjson"));
    writeFileSync(file(room, "run-c.ndjson"), '{"kind":"note"}\n');
    writeFileSync(join(room.work, "secret"), '{"kind":"note"}\n');
    Bun.spawnSync(["ln", "-s", join(room.work, "secret"), file(room, "run-b.ndjson")]);
    writeFileSync(file(room, "run-d.ndjson"), `{"kind":"note","x":"${"y".repeat(1 << 20)}"}\n`);
    const taken: EventDraft[] = [];
    const { spool, metrics } = spoolIn(room, taken);
    await spool.drain();
    expect(taken).toHaveLength(1);
    expect(metrics.get("observer_spool_events_total", { outcome: "unreadable" })).toBe(3);
  });

  test("is no trouble where there is no directory", async () => {
    using room = createRoom();
    const { spool, logged } = spoolIn(room, []);
    await spool.drain();
    expect(logged).toEqual([]);
  });
});
