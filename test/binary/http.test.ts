// The HTTP surface of the built program: bodies that are wrong, callers that may not, sockets that answer.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { appendFileSync, chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import {
  asUid,
  canBeNobody,
  copyProgram,
  createRoom,
  type Daemon,
  NOBODY,
  type Row,
  startDaemon,
} from "../support/daemon.ts";

/** Small, so that a body over the limit is quickly sent. */
const LIMITS = { OBSERVER_LIMITS_BODY_BYTES: "64KiB", OBSERVER_LIMITS_BATCH_BYTES: "256KiB" };

let daemon: Daemon;
beforeAll(async () => {
  daemon = await startDaemon({ env: LIMITS });
});
afterAll(async () => await daemon[Symbol.asyncDispose]());

/** Sends bytes as they are and resolves with all that comes back until the other side closes. */
async function raw(
  bytes: string | Uint8Array,
  { port = daemon.port, hangUp = false }: { port?: number; hangUp?: boolean } = {},
): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = "";
  const socket = connect({ port, host: "127.0.0.1" }, () => {
    socket.write(bytes, () => void (hangUp && setTimeout(() => socket.destroy(), 50)));
  });
  socket.on("data", (chunk: Buffer) => void (text += chunk.toString("latin1")));
  socket.on("close", () => resolve(text));
  socket.on("error", () => resolve(text));
  return await promise;
}

const storedEvents = async (): Promise<number> => (await daemon.list("/events")).length;

const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
const binary = new Uint8Array([0, 255, 254, 128, 7, 200, 123, 125]);
const gzip = (text: string): Uint8Array<ArrayBuffer> => Bun.gzipSync(Buffer.from(text));

interface Case {
  name: string;
  body: string | Uint8Array<ArrayBuffer>;
  status: number;
  headers?: Record<string, string>;
}

const OBJECT_CASES: Case[] = [
  { name: "empty", body: "", status: 400 },
  { name: "blank", body: " \n ", status: 400 },
  { name: "malformed", body: '{"success":tru', status: 400 },
  { name: "two values", body: "{}{}", status: 400 },
  { name: "a number", body: "42", status: 400 },
  { name: "a string", body: '"text"', status: 400 },
  { name: "null", body: "null", status: 400 },
  { name: "an array", body: "[1]", status: 400 },
  { name: "deep", body: nested(2_000), status: 400 },
  { name: "very deep", body: "[".repeat(30_000), status: 400 },
  { name: "binary", body: binary, status: 400 },
  { name: "not UTF-8", body: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), status: 400 },
  { name: "oversized", body: JSON.stringify({ error: "x".repeat(70_000) }), status: 413 },
];

const PATH_CASES: Record<string, Case[]> = {
  "/event": [
    ...OBJECT_CASES,
    { name: "endpoint a number", body: '{"endpoint":7}', status: 400 },
    { name: "source an object", body: '{"source":{}}', status: 400 },
    { name: "timestamp a list", body: '{"timestamp":[]}', status: 400 },
    { name: "count a string", body: '{"count":"many"}', status: 400 },
    {
      name: "not gzip",
      body: "{}",
      status: 400,
      headers: { "content-encoding": "gzip" },
    },
    { name: "unknown encoding", body: "{}", status: 415, headers: { "content-encoding": "br" } },
    {
      name: "a bomb",
      body: gzip(`{"error":"${"x".repeat(5_000_000)}"}`),
      status: 413,
      headers: { "content-encoding": "gzip" },
    },
  ],
  // A hook's body may be as large as a batch: the bound of the batch stands in for it here.
  "/hooks/claude-code": OBJECT_CASES.map((item) =>
    item.name === "oversized"
      ? { ...item, body: JSON.stringify({ error: "x".repeat(300_000) }) }
      : item,
  ),
  "/hooks/no-such-vendor": [{ name: "any", body: "{}", status: 404 }],
  "/events": [
    { name: "empty", body: "", status: 400 },
    { name: "blank", body: "\n\n", status: 400 },
    { name: "a broken array", body: '[{"kind":"note"},', status: 400 },
    { name: "binary", body: binary, status: 400 },
    { name: "oversized", body: `[${'{"kind":"note"},'.repeat(20_000)}{}]`, status: 413 },
    {
      name: "a bomb",
      body: gzip("\n".repeat(5_000_000)),
      status: 413,
      headers: { "content-encoding": "gzip" },
    },
    { name: "not zstd", body: "[]x", status: 400, headers: { "content-encoding": "zstd" } },
  ],
};

describe("a body that is wrong gets a clear 4xx and changes nothing", () => {
  for (const [path, cases] of Object.entries(PATH_CASES)) {
    for (const { name, body, status, headers = {} } of cases) {
      test(`POST ${path}: ${name} is ${status}`, async () => {
        const before = await storedEvents();
        const response = await fetch(`${daemon.url}${path}`, { method: "POST", body, headers });
        const answer = (await response.json()) as Row;
        expect(response.status).toBe(status);
        expect(response.headers.get("content-type")).toStartWith("application/problem+json");
        expect(String(answer["error"]).length).toBeGreaterThan(8);
        expect(answer).toMatchObject({ status, detail: answer["error"] });
        expect(await storedEvents()).toBe(before);
      });
    }
  }

  test("POST /events: one bad line never rejects the others, and a used id is told", async () => {
    const before = await storedEvents();
    const lines = [
      '{"kind":"note","id":"good-1"}',
      "{not json",
      '{"kind":"no-such-kind"}',
      '{"kind":"note","pid":"seven"}',
      "[]",
      nested(500),
      '{"kind":"note","id":"good-1"}',
      '{"kind":"note","id":"good-1","note":"another body"}',
      '{"kind":"note","id":"good-2"}',
    ];
    const { status, body } = await daemon.post("/events", lines.join("\n"));
    expect(status).toBe(200);
    expect(body).toMatchObject({ accepted: 2, duplicates: 1 });
    const rejected = body["rejected"] as { index: number; error: string }[];
    expect(rejected.map(({ index }) => index).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 7]);
    expect(rejected.find(({ index }) => index === 7)?.error).toContain("conflict");
    expect(await storedEvents()).toBe(before + 2);
    const again = await daemon.post("/events", '[{"kind":"note","id":"good-1"}]');
    expect(again.body).toMatchObject({ accepted: 0, duplicates: 1, rejected: [] });
  });

  test("POST /events takes an array, NDJSON, gzip and zstd", async () => {
    const before = await storedEvents();
    const line = '{"kind":"note","note":"packed"}\n';
    const zstd = Bun.zstdCompressSync(line);
    for (const [body, headers] of [
      [`[${line},${line}]`, {}],
      [line + line, {}],
      [Bun.gzipSync(line + line), { "content-encoding": "gzip" }],
      [new Uint8Array(zstd), { "content-encoding": "zstd" }],
    ] as const) {
      const response = await fetch(`${daemon.url}/events`, { method: "POST", body, headers });
      expect(response.status).toBe(200);
    }
    expect(await storedEvents()).toBe(before + 7);
  });

  test("a half-sent body changes nothing, whether its length was declared or chunked", async () => {
    const before = await storedEvents();
    const body = '{"kind":"note","note":"half"}';
    for (const path of ["/event", "/events", "/hooks/claude-code"]) {
      const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\n`;
      await raw(`${head}Content-Length: ${body.length + 10}\r\n\r\n${body}`, { hangUp: true });
      const size = body.length.toString(16);
      await raw(`${head}Transfer-Encoding: chunked\r\n\r\n${size}\r\n${body}\r\n`, {
        hangUp: true,
      });
    }
    expect(await storedEvents()).toBe(before);
    expect((await daemon.get("/health")).status).toBe(200);
  });

  test("a body of undeclared length over the limit is 413", async () => {
    const before = await storedEvents();
    const chunk = `10000\r\n${"x".repeat(0x1_00_00)}\r\n`;
    const answer = await raw(
      `POST /event HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}${chunk}0\r\n\r\n`,
    );
    expect(answer).toStartWith("HTTP/1.1 413");
    expect(await storedEvents()).toBe(before);
  });

  test("bytes that are no HTTP get no answer with 2xx, and the next caller is served", async () => {
    for (const bytes of ["\r\n\r\n", "GARBAGE\r\n\r\n", "POST /event HTTP/9.9\r\n\r\n"]) {
      expect(await raw(bytes, { hangUp: true })).not.toContain(" 200 ");
    }
    expect((await daemon.get("/health")).status).toBe(200);
  });

  test("unknown paths and methods are 404 and 405 as JSON", async () => {
    for (const path of ["/nothing", "/event/x", "/sessions/no-such", "/events/no-such"]) {
      const { status, body } = await daemon.get(path);
      expect([path, status, typeof body["error"]]).toEqual([path, 404, "string"]);
    }
    const { status, body } = await daemon.post("/health", {});
    expect([404, 405]).toContain(status);
    expect(typeof body["error"]).toBe("string");
  });
});

describe("POST /event keeps the seed's shape", () => {
  test("the defaults of every field, and the answer after the commit", async () => {
    await using own = await startDaemon();
    expect((await own.get("/health")).body).toEqual({ status: "ok", ops_in_ring: 0 });
    const plain = await fetch(`${own.url}/event`, {
      method: "POST",
      body: "{}",
      headers: { "content-type": "application/x-www-form-urlencoded" },
    });
    expect([plain.status, await plain.json()]).toEqual([200, { accepted: true, ring_size: 1 }]);
    const full = {
      event_kind: "recruit",
      role: "nurse",
      count: 2,
      city: "Graz",
      state: "AT",
      staffer_id: "w1",
      success: 1,
      duration_ms: 5,
      unknown_field: { kept: true },
    };
    expect((await own.post("/event", full)).body).toEqual({ accepted: true, ring_size: 2 });
    const failed = { success: false, error: "no candidates", duration_ms: "soon", source: "mcp" };
    await own.post("/event", failed);
    const [third, second, first] = await own.list("/events?kind=operation");
    const defaults = {
      endpoint: "scenario:fill",
      rescue_attempted: false,
      rescue_succeeded: false,
    };
    expect(first).toMatchObject({
      ...defaults,
      input_summary: "? ?×? in ?, ?",
      output_summary: "failed",
      success: false,
      duration_ms: 0,
      source: "scenario",
    });
    expect(second).toMatchObject({
      ...defaults,
      ...full,
      success: true,
      input_summary: "recruit nurse×2 in Graz, AT",
      output_summary: "filled",
    });
    expect(third).toMatchObject({
      ...defaults,
      error: "no candidates",
      output_summary: "no candidates",
      duration_ms: 0,
      source: "mcp",
    });
    const { body: stats } = await own.get("/stats");
    expect(stats).toMatchObject({
      total: 3,
      successes: 1,
      failures: 2,
      by_source: { scenario: 2, mcp: 1 },
      all_time: { total: 3, successes: 1, failures: 2, by_source: { scenario: 2, mcp: 1 } },
    });
    const recent = stats["recent_scenario_ops"] as Row[];
    expect(recent).toHaveLength(2);
    expect(recent[1]).toMatchObject({ ok: true, staffer: "w1", kind: "recruit", role: "nurse" });
    expect(Object.keys(recent[1] ?? {}).sort()).toEqual(["kind", "ok", "role", "staffer", "ts"]);
  });
});

describe("foreign pages are refused", () => {
  const post = async (headers: Record<string, string>): Promise<number> => {
    const response = await fetch(`${daemon.url}/event`, { method: "POST", body: "{}", headers });
    const answer = (await response.json()) as Row;
    if (!response.ok) expect(typeof answer["error"]).toBe("string");
    return response.status;
  };
  const json = { "content-type": "application/json" };

  test("Host must be loopback", async () => {
    for (const host of ["localhost", "127.0.0.1", `[::1]:${daemon.port}`, "LOCALHOST:80"]) {
      expect([host, await post({ host })]).toEqual([host, 200]);
    }
    const foreign = [
      "evil.example",
      "127.0.0.1.evil.example",
      "localhost.evil.example",
      "",
      "a@localhost",
    ];
    for (const host of foreign) {
      const head = `GET /health HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
      expect([host, (await raw(head)).slice(0, 12)]).toEqual([host, "HTTP/1.1 403"]);
    }
  });

  test("Origin must be our own and then asks for JSON", async () => {
    const before = await storedEvents();
    const own = [daemon.url, `http://localhost:${daemon.port}`];
    for (const origin of own) expect(await post({ ...json, origin })).toBe(200);
    expect(await post({ origin: daemon.url, "content-type": "text/plain" })).toBe(415);
    const foreign = [
      "null",
      "http://evil.example",
      "http://localhost:1",
      `${daemon.url}.evil.example`,
    ];
    for (const origin of foreign)
      expect([origin, await post({ ...json, origin })]).toEqual([origin, 403]);
    expect(await storedEvents()).toBe(before + own.length);
  });

  test("Sec-Fetch-Site must not be foreign", async () => {
    for (const site of ["same-origin", "none"])
      expect(await post({ "sec-fetch-site": site })).toBe(200);
    for (const site of ["cross-site", "same-site"]) {
      expect(await post({ "sec-fetch-site": site })).toBe(403);
      const read = await fetch(`${daemon.url}/sessions`, { headers: { "sec-fetch-site": site } });
      expect(read.status).toBe(403);
    }
  });
});

describe("who may call", () => {
  const room = createRoom();
  afterAll(() => room[Symbol.dispose]());

  /** Statuses that another user sees; runs in a process of that user. */
  async function statusesAs(uid: number, calls: [string, string, Row][]): Promise<number[]> {
    const program = copyProgram(process.execPath, { directory: room.path, name: "bun" });
    const script = join(room.path, "calls.ts");
    writeFileSync(
      script,
      `const found = [];
for (const [method, url, headers] of JSON.parse(process.argv[2])) {
  const body = method === "POST" ? JSON.stringify({ kind: "note", hook_event_name: "Stop", session_id: "n" }) : undefined;
  found.push((await fetch(url, { method, headers, body })).status);
}
process.stdout.write(JSON.stringify(found));
`,
    );
    chmodSync(script, 0o644);
    const child = Bun.spawn(asUid(uid, [program, script, JSON.stringify(calls)]), {
      cwd: room.path,
      env: { PATH: "/usr/bin:/bin", HOME: room.path },
      stdout: "pipe",
      stderr: "inherit",
    });
    return JSON.parse(await child.stdout.text()) as number[];
  }

  test.skipIf(!canBeNobody())(
    "another user: ingest is open, reading needs a token of its scope",
    async () => {
      const token = readFileSync(join(daemon.data, "token"), "utf8").trim();
      expect(statSync(join(daemon.data, "token")).mode & 0o777).toBe(0o600);
      const own = { authorization: `Bearer ${token}` };
      const wrong = { authorization: "Bearer wrong" };
      for (const base of [daemon.url, `http://[::1]:${daemon.port}`]) {
        const seen = await statusesAs(NOBODY, [
          ...["/event", "/events", "/hooks/claude-code"].map((path): [string, string, Row] => [
            "POST",
            base + path,
            {},
          ]),
          ...["/health", "/stats", "/livez"].map((path): [string, string, Row] => [
            "GET",
            base + path,
            {},
          ]),
          ...["/sessions", "/events", "/metrics", "/reactions", "/checkpoints", "/"].map(
            (path): [string, string, Row] => ["GET", base + path, {}],
          ),
          ["GET", `${base}/sessions`, own],
          ["GET", `${base}/sessions`, { "x-observer-token": token }],
          ["GET", `${base}/sessions`, wrong],
          ["POST", `${base}/session-codes`, {}],
        ]);
        expect(seen.slice(0, 6)).toEqual([200, 200, 200, 200, 200, 200]);
        expect(seen.slice(6, 12)).toEqual([401, 401, 401, 401, 401, 401]);
        expect(seen.slice(12)).toEqual([200, 200, 401, 401]);
      }
    },
  );

  test.skipIf(!canBeNobody())(
    "a daemon of another user answers that user and root, nobody else",
    async () => {
      const binary = copyProgram(join(import.meta.dir, "../../dist/observer"), {
        directory: room.path,
        name: "observer",
      });
      await using own = await startDaemon({ uid: NOBODY, binary });
      expect((await own.get("/sessions")).status).toBe(200);
      const call: [string, string, Row][] = [["GET", `${own.url}/sessions`, {}]];
      expect(await statusesAs(NOBODY, call)).toEqual([200]);
      expect(await statusesAs(NOBODY - 1, call)).toEqual([401]);
    },
  );

  test("tokens of a file have their scopes, and --require-token drops the peer rule", async () => {
    const file = join(room.path, "tokens");
    const words = { admin: "a".repeat(40), read: "r".repeat(40), ingest: "i".repeat(40) };
    writeFileSync(file, `${words.admin}\n`, { mode: 0o600 });
    appendFileSync(file, `read:${words.read}\ningest:${words.ingest}\n`);
    await using own = await startDaemon({ flags: ["--require-token", "--token-file", file] });
    const status = async (method: string, path: string, token?: string): Promise<number> => {
      const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
      const response = await fetch(`${own.url}${path}`, { method, headers });
      await response.arrayBuffer();
      return response.status;
    };
    expect(await status("GET", "/health")).toBe(200);
    expect((await own.post("/event", {})).status).toBe(200);
    expect(await status("GET", "/sessions")).toBe(401);
    expect(await status("GET", "/sessions", words.ingest)).toBe(403);
    expect(await status("GET", "/sessions", words.read)).toBe(200);
    expect(await status("POST", "/session-codes", words.read)).toBe(403);
    expect(await status("POST", "/session-codes", words.admin)).toBe(201);
    const socket = await fetch("http://localhost/sessions", {
      unix: join(own.data, "observer.sock"),
    });
    expect(socket.status).toBe(401);
  });

  test("observer open gives a one-time URL whose cookie reads", async () => {
    await using own = await startDaemon({ flags: ["--require-token"] });
    const opened = await own.cli("open");
    const url = /http:\/\/\S+/.exec(`${opened.stdout}${opened.stderr}`)?.[0] ?? "";
    expect(opened.status).toBe(0);
    const path = new URL(url).pathname + new URL(url).search;
    const first = await fetch(own.url + path, { redirect: "manual" });
    const cookie = first.headers.get("set-cookie") ?? "";
    expect(first.status).toBe(303);
    expect(cookie).toContain("HttpOnly");
    expect(cookie).toContain("SameSite=Strict");
    const value = cookie.split(";")[0] ?? "";
    const read = await fetch(`${own.url}/sessions`, { headers: { cookie: value } });
    expect(read.status).toBe(200);
    expect((await fetch(own.url + path, { redirect: "manual" })).status).toBe(403);
  });

  test("an address beyond loopback is refused without --insecure or a token file", async () => {
    const thrown: unknown = await startDaemon({ flags: ["--host", "0.0.0.0"] }).then(
      async (own) => await own[Symbol.asyncDispose](),
      (reason: unknown) => reason,
    );
    expect(String(thrown)).toMatch(/token|insecure/);
  });
});

describe("sockets", () => {
  test("both loopbacks answer on the same port, and the unix socket too", async () => {
    for (const host of ["127.0.0.1", "[::1]", "localhost"]) {
      const response = await fetch(`http://${host}:${daemon.port}/health`);
      expect([host, response.status]).toEqual([host, 200]);
      const guarded = await fetch(`http://${host}:${daemon.port}/sessions`);
      expect([host, guarded.status]).toEqual([host, 200]);
    }
    const unix = join(daemon.data, "observer.sock");
    expect(statSync(unix).mode & 0o777).toBe(0o600);
    const response = await fetch("http://localhost/sessions", { unix });
    expect(response.status).toBe(200);
  });
});
