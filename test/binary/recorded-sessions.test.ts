// Recorded sessions through the built program: as hooks, as imports, as replays, always with the manifest's result.

import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  createRoom,
  type Daemon,
  type Row,
  runObserver,
  startDaemon,
  until,
} from "../support/daemon.ts";
import { graveTypes, hookBodies, recordings } from "../support/recordings.ts";

const RECORDINGS = recordings();

async function post(daemon: Daemon, body: object): Promise<void> {
  const answer = await daemon.post("/hooks/claude-code", body);
  expect(answer.status).toBe(200);
  expect(answer.body).toEqual({});
}

/** Hooks are answered before they are stored: waits until this session shows them all. */
async function stored(daemon: Daemon, session: string, events: number): Promise<Row> {
  return await until(`${events} events of ${session} are stored`, async () => {
    const { body } = await daemon.get(`/sessions/${session}`);
    return body["events"] === events && body;
  });
}

async function troubles(daemon: Daemon, sessions: Iterable<string>): Promise<Row[]> {
  const found: Row[] = [];
  for (const session of sessions) {
    found.push(...(await daemon.list(`/interruptions?session_id=${session}`)));
  }
  return found;
}

test("POST /hooks/claude-code gives exactly the manifest's interruptions of each recorded session", async () => {
  await using daemon = await startDaemon();
  for (const { name, hookFile, expected } of RECORDINGS) {
    if (hookFile === undefined) continue;
    const counts = new Map<string, number>();
    for (const body of hookBodies(name)) {
      await post(daemon, body);
      counts.set(body.session_id, (counts.get(body.session_id) ?? 0) + 1);
    }
    for (const [session, count] of counts) await stored(daemon, session, count);
    expect([name, graveTypes(await troubles(daemon, counts.keys()))]).toEqual([name, expected]);
  }
  const all = RECORDINGS.filter(({ hookFile }) => hookFile).flatMap(({ expected }) => expected);
  expect(graveTypes(await daemon.list("/interruptions"))).toEqual(all.sort());
});

test("sessions that ran at once in one directory stay apart, with counts of their own", async () => {
  await using daemon = await startDaemon();
  const bodies = hookBodies("concurrent-cc");
  for (const body of bodies) await post(daemon, body);
  const names = [...new Set(bodies.map((body) => body.session_id))];
  expect(names).toHaveLength(2);
  expect(new Set(bodies.map((body) => body.cwd)).size).toBe(1);
  for (const name of names) {
    const own = bodies.filter((body) => body.session_id === name);
    const session = await stored(daemon, name, own.length);
    const of = (hook: string): number => own.filter((body) => body.hook_event_name === hook).length;
    expect(session["tool_calls"]).toBe(of("PreToolUse"));
    expect(session["errors"]).toBe(of("PostToolUseFailure"));
    const events = await daemon.list(`/sessions/${name}/events`);
    expect(events).toHaveLength(own.length);
    expect(new Set(events.map((event) => event["session_id"]))).toEqual(new Set([name]));
  }
  const listed = await daemon.list("/sessions");
  expect(listed.map(({ id }) => String(id)).sort()).toEqual(names.sort());
});

/** Everything that can be imported: agent-strace sessions, the transcript, hook recordings. */
const IMPORTS = RECORDINGS.flatMap(({ name, expected, ...of }) => [
  { name: `agent-strace ${name}`, files: of.straceFiles, expected },
  ...(of.transcript === undefined
    ? []
    : [{ name: `transcript ${name}`, files: [of.transcript], expected }]),
  ...(of.hookFile === undefined ? [] : [{ name: `hooks ${name}`, files: [of.hookFile], expected }]),
]);

test("observer replay --json gives the manifest's interruptions of every recording", async () => {
  for (const { name, files, expected } of IMPORTS) {
    const found: Row[] = [];
    for (const file of files) {
      const ran = await runObserver(["replay", file, "--json"]);
      expect([name, ran.status]).toEqual([name, 0]);
      const report = JSON.parse(ran.stdout) as { events: number; interruptions: Row[] };
      expect(report.events).toBeGreaterThan(0);
      found.push(...report.interruptions);
    }
    expect([name, graveTypes(found)]).toEqual([name, expected]);
  }
});

test("observer import gives the manifest's interruptions, no reactions, and duplicates the second time", async () => {
  using room = createRoom();
  const workspace = join(room.path, "workspace");
  mkdirSync(workspace);
  const flags = ["--reactive", "--workspace", workspace];
  for (const kind of ["agent-strace", "transcript", "hooks"]) {
    await using daemon = await startDaemon({ flags });
    const wanted = IMPORTS.filter(({ name }) => name.startsWith(kind));
    const files = wanted.flatMap((one) => one.files);
    const first = await daemon.cli("import", ...files, "--json");
    expect([kind, first.status, first.stderr]).toEqual([kind, 0, ""]);
    const report = JSON.parse(first.stdout) as Row;
    expect(report["rejected"]).toEqual([]);
    expect(report["duplicates"]).toBe(0);
    expect(report["accepted"]).toBe((await daemon.list("/events")).length);

    const expected = wanted.flatMap((one) => one.expected).sort();
    expect([kind, graveTypes(await daemon.list("/interruptions"))]).toEqual([kind, expected]);
    const before = await daemon.list("/sessions");

    const again = JSON.parse((await daemon.cli("import", ...files, "--json")).stdout) as Row;
    expect(again).toEqual({ ...report, accepted: 0, duplicates: report["accepted"] });
    expect(await daemon.list("/sessions")).toEqual(before);
    expect(graveTypes(await daemon.list("/interruptions"))).toEqual(expected);

    expect(await daemon.list("/reactions")).toEqual([]);
    expect(await daemon.list("/checkpoints?kind=auto")).toEqual([]);
    expect(await Bun.file(join(daemon.data, "alerts.log")).exists()).toBe(false);
  }
});

/** Operations as the older observer wrote them; the failed ones ran out of context. */
function operations(): Row[] {
  const at = (second: number): string =>
    new Date(Date.UTC(2026, 0, 31, 8, 0, second)).toISOString();
  const healthy = [0, 1, 2].map((second) => ({
    timestamp: at(second),
    endpoint: "/search",
    input_summary: `workers ${second}`,
    success: true,
    duration_ms: 12.5,
    output_summary: "3 rows",
    source: "mcp",
  }));
  const failing = Array.from({ length: 6 }, (_, index) => ({
    timestamp: at(10 + index),
    endpoint: "scenario:fill",
    input_summary: `fill ${index}`,
    success: false,
    duration_ms: 40,
    error: "prompt is too long: 210000 tokens > 200000 maximum",
    source: "scenario",
    staffer_id: "staffer-1",
    session_id: "ops-1",
  }));
  return [...healthy, ...failing];
}

const gists = (rows: Row[]): string[] =>
  rows.map(({ type, severity, count }) => JSON.stringify([type, severity, count])).sort();

test("ops.jsonl gives the same by import, by replay and by POST /event", async () => {
  using room = createRoom();
  const file = join(room.path, "ops.jsonl");
  const ops = operations();
  writeFileSync(file, ops.map((op) => `${JSON.stringify(op)}\n`).join(""));
  await using imported = await startDaemon();
  await using live = await startDaemon();
  for (const op of ops) expect((await live.post("/event", op)).status).toBe(200);
  const report = JSON.parse((await imported.cli("import", file, "--json")).stdout) as Row;
  expect(report).toMatchObject({ accepted: ops.length, duplicates: 0, rejected: [] });
  const again = JSON.parse((await imported.cli("import", file, "--json")).stdout) as Row;
  expect(again).toMatchObject({ accepted: 0, duplicates: ops.length, rejected: [] });

  const { body: stats } = await imported.get("/stats");
  expect(stats).toMatchObject({ total: 9, successes: 3, failures: 6 });
  expect(stats).toEqual((await live.get("/stats")).body);
  const ran = await runObserver(["replay", file, "--json"]);
  const replayed = JSON.parse(ran.stdout) as { events: number; interruptions: Row[] };
  expect(replayed.events).toBe(ops.length);
  const wanted = gists(await live.list("/interruptions"));
  expect(graveTypes(await live.list("/interruptions"))).toEqual(["context_overflow"]);
  expect(gists(await imported.list("/interruptions"))).toEqual(wanted);
  expect(gists(replayed.interruptions)).toEqual(wanted);
});
