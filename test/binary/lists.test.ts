// Lists of the built program: pages, bounds, and a filter for every scalar field that is shown.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createRoom, type Daemon, type Row, startDaemon, until } from "../support/daemon.ts";
import { hookBodies } from "../support/recordings.ts";

const LISTS = ["events", "sessions", "interruptions", "reactions", "checkpoints"] as const;

const room = createRoom();
let daemon: Daemon;
beforeAll(async () => {
  const workspace = join(room.path, "workspace");
  mkdirSync(workspace);
  writeFileSync(join(workspace, "a.txt"), "a");
  daemon = await startDaemon({ flags: ["--reactive", "--workspace", workspace] });
  for (const name of ["loop-cc", "retry-cc", "healthy-cc"]) {
    for (const body of hookBodies(name)) await daemon.post("/hooks/claude-code", body);
  }
  await daemon.post("/event", { endpoint: "/x", success: true, count: 3 });
  const usage = { input: 10, output: 5, cache_read: 0, cache_write: 0 };
  await daemon.post("/events", [
    { kind: "llm_call", id: "mine", session_id: "native", pid: 42, agent: "own", workspace, usage },
  ]);
  await daemon.post("/checkpoints", { workspace, label: "by hand" });
  await until("reactions are done", async () => {
    const rows = await daemon.list("/reactions");
    return rows.length >= 3 && rows.every(({ status }) => status !== "pending");
  });
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  room[Symbol.dispose]();
});

/** The fields that contract and reference promise for every row of a list. */
const FIELDS: Record<(typeof LISTS)[number], string[]> = {
  events: ["id", "kind", "time", "session_id", "agent", "workspace", "pid", "host", "source"],
  sessions:
    "id agent workspace pid started_at ended_at end_reason events tool_calls errors tokens cost_usd unpriced_calls host".split(
      " ",
    ),
  interruptions:
    "id type severity host session_id agent workspace pid time detected_ms summary detail evidence count first_time last_time resolved_at".split(
      " ",
    ),
  reactions: "id interruption_id kind status reason started_at duration_ms detail host".split(" "),
  checkpoints:
    "id workspace backend kind reason label interruption_id session_id agent created_at duration_ms files bytes verified pinned parent_id status skipped warnings host".split(
      " ",
    ),
};

const isScalar = (value: unknown): value is string | number | boolean =>
  ["string", "number", "boolean"].includes(typeof value);

describe("every list", () => {
  for (const list of LISTS) {
    test(`GET /${list} has the contract's fields, newest first, and pages without loss`, async () => {
      const { body } = await daemon.get(`/${list}`);
      const rows = body["items"] as Row[];
      expect(rows.length).toBeGreaterThan(1);
      for (const row of rows)
        expect(Object.keys(row)).toEqual(expect.arrayContaining(FIELDS[list]));
      const paged: Row[] = [];
      let next = "";
      do {
        const page = await daemon.get(`/${list}?limit=1${next}`);
        expect((page.body["items"] as Row[]).length).toBeLessThanOrEqual(1);
        paged.push(...(page.body["items"] as Row[]));
        const cursor = page.body["next_cursor"];
        next = typeof cursor === "string" ? `&cursor=${encodeURIComponent(cursor)}` : "";
      } while (next !== "");
      expect(paged.map(({ id }) => id)).toEqual(
        (await daemon.list(`/${list}`)).map(({ id }) => id),
      );
    });

    test(`GET /${list} filters by every scalar field of the contract that is shown`, async () => {
      const rows = await daemon.list(`/${list}`);
      const wrong: string[] = [];
      for (const field of FIELDS[list]) {
        const sample = rows.find((row) => isScalar(row[field]));
        if (!sample) continue;
        const value = sample[field];
        const wanted = rows.filter((row) => row[field] === value).map(({ id }) => id);
        const query = `/${list}?limit=1000&${field}=${encodeURIComponent(String(value))}`;
        const { status, body } = await daemon.get(query);
        const got = status === 200 ? (body["items"] as Row[]).map(({ id }) => id) : [];
        if (status !== 200 || !Bun.deepEquals(got, wanted)) {
          wrong.push(
            `${field}=${String(value)}: ${status}, ${got.length} of ${wanted.length} rows`,
          );
        }
      }
      expect(wrong).toEqual([]);
    });

    test(`GET /${list} refuses what it does not know`, async () => {
      const queries = [
        "limit=0",
        "limit=1001",
        "limit=x",
        "cursor=x",
        "since=soon",
        "limit=1&limit=2",
      ];
      // Events carry any field, so any name filters them.
      if (list !== "events") queries.push("no_such_field=1");
      for (const query of [...queries, "No-Such=1"]) {
        const { status, body } = await daemon.get(`/${list}?${query}`);
        expect([query, status, typeof body["error"]]).toEqual([query, 400, "string"]);
      }
      const { body: late } = await daemon.get(`/${list}?since=2999-01-01T00:00:00Z`);
      expect(late["items"]).toEqual([]);
      const { body: early } = await daemon.get(`/${list}?until=1999-01-01T00:00:00Z`);
      expect(early["items"]).toEqual([]);
    });
  }

  test("one row by its id, also the id that was given at ingest", async () => {
    for (const list of LISTS) {
      const [row] = await daemon.list(`/${list}`);
      expect((await daemon.get(`/${list}/${String(row?.["id"])}`)).body).toEqual(row ?? {});
    }
    expect((await daemon.get("/events/mine")).body).toMatchObject({ id: "mine", pid: 42 });
  });
});
