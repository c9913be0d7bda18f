import { expect, test } from "bun:test";
import { ACCESS, type Access, includesScope, SCOPES } from "../../src/api/access.ts";
import type { Via } from "../../src/api/listener.ts";
import type { Settings } from "../../src/config/settings.ts";
import {
  ADMIN_TOKEN,
  bodyOf,
  caller,
  createFake,
  INGEST_TOKEN,
  OWN_UID,
  READ_TOKEN,
} from "../support/fake-api-deps.ts";

/** A request that reaches the handler of an endpoint; what it answers there does not matter. */
function sample(endpoint: string): { path: string; method: string; body: string | null } {
  const [method = "", path = ""] = endpoint.split(" ");
  const filled = path.replace(":vendor", "claude-code").replace(":id", "x1");
  return { path: filled, method, body: method === "POST" ? "{}" : null };
}
const endpoints = Object.entries(ACCESS) as [keyof typeof ACCESS, Access][];
const REFUSED = [401, 403, 415];

test("every registered route is in the access table, and every row of the table is a route", () => {
  const { api } = caller(createFake());
  const registered = api.routes.map(({ endpoint }) => endpoint);
  expect(registered.toSorted()).toEqual(endpoints.map(([endpoint]) => endpoint).toSorted());
  expect(new Set(registered).size).toBe(registered.length);
});

// Who calls, from where, with what, and what the answer is for each kind of access.
interface Row {
  name: string;
  via?: Via;
  uid?: number | null;
  headers?: Record<string, string>;
  settings?: Partial<Settings>;
  local: number;
  read: number;
  admin: number;
}
const OK = 0;
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const rows: Row[] = [
  { name: "nobody on loopback", uid: 65_534, local: OK, read: 401, admin: 401 },
  { name: "an unknown peer on loopback", uid: null, local: OK, read: 401, admin: 401 },
  { name: "root on loopback", uid: 0, local: OK, read: OK, admin: OK },
  { name: "observer's own user", uid: OWN_UID, local: OK, read: OK, admin: OK },
  { name: "the unix socket", via: "unix", local: OK, read: OK, admin: OK },
  {
    name: "root where tokens are required",
    uid: 0,
    settings: { require_token: true },
    local: OK,
    read: 401,
    admin: 401,
  },
  {
    name: "the unix socket where tokens are required",
    via: "unix",
    settings: { require_token: true },
    local: OK,
    read: 401,
    admin: 401,
  },
  { name: "an ingest token", headers: bearer(INGEST_TOKEN), local: OK, read: 403, admin: 403 },
  { name: "a read token", headers: bearer(READ_TOKEN), local: OK, read: OK, admin: 403 },
  { name: "an admin token", headers: bearer(ADMIN_TOKEN), local: OK, read: OK, admin: OK },
  {
    name: "X-Observer-Token",
    headers: { "x-observer-token": ADMIN_TOKEN },
    local: OK,
    read: OK,
    admin: OK,
  },
  {
    name: "X-Observer-Token beside an upstream's Authorization",
    headers: { "x-observer-token": ADMIN_TOKEN, authorization: "Bearer upstream" },
    local: OK,
    read: OK,
    admin: OK,
  },
  { name: "a wrong token", headers: bearer("wrong"), local: OK, read: 401, admin: 401 },
  {
    name: "root with a wrong token",
    uid: 0,
    headers: bearer("wrong"),
    local: OK,
    read: 401,
    admin: 401,
  },
  {
    name: "root with a read token",
    uid: 0,
    headers: bearer(READ_TOKEN),
    local: OK,
    read: OK,
    admin: 403,
  },
  {
    name: "an empty token",
    headers: { "x-observer-token": "" },
    local: OK,
    read: 401,
    admin: 401,
  },
  {
    name: "Basic credentials",
    headers: { authorization: `Basic ${btoa(`x:${ADMIN_TOKEN}`)}` },
    local: OK,
    read: 401,
    admin: 401,
  },
  {
    name: "a made-up cookie",
    headers: { cookie: "observer_session=abc" },
    local: OK,
    read: 401,
    admin: 401,
  },
  { name: "the network", via: "network", uid: 0, local: 401, read: 401, admin: 401 },
  {
    name: "the network, insecure",
    via: "network",
    settings: { insecure: true },
    local: OK,
    read: 401,
    admin: 401,
  },
  {
    name: "the network with an ingest token",
    via: "network",
    headers: bearer(INGEST_TOKEN),
    local: OK,
    read: 403,
    admin: 403,
  },
  {
    name: "the network with an admin token",
    via: "network",
    headers: bearer(ADMIN_TOKEN),
    local: OK,
    read: OK,
    admin: OK,
  },
];

test.each(rows)("$name may call exactly its endpoints", async (row) => {
  for (const [endpoint, access] of endpoints) {
    if (access === "public") continue;
    const fake = createFake(row.settings);
    fake.deps.peerUid = () => row.uid ?? null;
    const { path, method, body } = sample(endpoint);
    const response = await caller(fake).call(path, {
      method,
      body,
      via: row.via ?? "loopback",
      headers: row.headers ?? {},
    });
    await response.body?.cancel();
    const expected = row[access];
    const seen = REFUSED.includes(response.status) ? response.status : OK;
    expect({ endpoint, status: seen }).toEqual({ endpoint, status: expected });
    if (expected === 401) expect(response.headers.get("www-authenticate")).toBe("Bearer");
  }
});

test("what is in files is for admin only, where what changed is for read", async () => {
  const { call } = caller(createFake());
  const statusOf = async (path: string, token: string): Promise<number> => {
    const response = await call(path, { via: "loopback", headers: bearer(token) });
    await response.body?.cancel();
    return response.status;
  };
  const diff = sample("GET /checkpoints/:id/diff").path;
  const other = await statusOf(diff, READ_TOKEN);
  expect(other).not.toBe(403);
  for (const query of ["text=1", "path=a&text=1", "text=", "%74ext=1"])
    expect(await statusOf(`${diff}?${query}`, READ_TOKEN)).toBe(403);
  expect(await statusOf(`${diff}?path=a&text=1`, ADMIN_TOKEN)).toBe(other);
});

test("GET / of a browser that is not signed in explains how to sign in", async () => {
  const { call } = caller(createFake());
  const response = await call("/", { via: "loopback", headers: { accept: "text/html,*/*" } });
  expect(response.status).toBe(401);
  expect(await response.text()).toContain("observer open");
  expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
});

test("a request that no listener delivered is granted nothing", async () => {
  const { api } = caller(createFake());
  const headers = { host: "localhost" };
  for (const path of ["/health", "/sessions"]) {
    const response = await api.handle(new Request(`http://localhost${path}`, { headers }));
    expect(response.status).toBe(401);
  }
});

const hosts: [string | null, boolean][] = [
  ["localhost", true],
  ["localhost:3800", true],
  ["LOCALHOST:3800", true],
  ["127.0.0.1", true],
  ["127.0.0.1:3800", true],
  ["127.8.9.1:1", true],
  ["[::1]", true],
  ["[::1]:3800", true],
  ["observer.example:443", true],
  ["Observer.Example", true],
  ["ab", true],
  [null, false],
  ["", false],
  ["evil.com", false],
  ["127.evil.com", false],
  ["127.0.0.1.evil.com", false],
  ["localhost.evil.com", false],
  ["evil.localhost", false],
  ["localhost:3800, evil.com", false],
  ["localhost@evil.com", false],
  ["127.0.0.256", false],
  ["128.0.0.1", false],
  ["0.0.0.0:3800", false],
  ["[::]:3800", false],
  ["[::1].evil.com", false],
  ["localhost:", false],
  ["localhost:38000000", false],
  ["2130706433", false],
  ["0x7f.0.0.1", false],
];
test.each(hosts)("Host %p is allowed: %p", async (host, allowed) => {
  const fake = createFake({ allowed_hosts: ["observer.example", "ab"] });
  const { call } = caller(fake);
  for (const path of ["/health", "/no/such/path", "/app.js"]) {
    const response = await call(path, { via: "loopback", host, headers: bearer(ADMIN_TOKEN) });
    expect(response.status === 403).toBe(!allowed);
    if (!allowed) expect(await bodyOf(response)).toMatchObject({ code: "foreign_host" });
  }
  // A client of the unix socket says what it likes.
  expect((await call("/health", { via: "unix", host })).status).toBe(200);
});

test("the configured address is an allowed Host, a wildcard is none", async () => {
  const at = async (settings: Partial<Settings>, host: string) =>
    (await caller(createFake(settings)).call("/livez", { via: "loopback", host })).status;
  expect(await at({ host: "10.1.2.3" }, "10.1.2.3:3800")).toBe(200);
  expect(await at({ host: "fd00::1" }, "[fd00::1]:3800")).toBe(200);
  expect(await at({ host: "0.0.0.0" }, "0.0.0.0:3800")).toBe(403);
});

const origins: [string, boolean][] = [
  ["http://localhost:3800", true],
  ["http://127.0.0.1:3800", true],
  ["http://[::1]:3800", true],
  ["null", false],
  ["", false],
  ["http://evil.com", false],
  ["http://localhost", false],
  ["http://localhost:3000", false],
  ["http://localhost:13800", false],
  ["https://127.0.0.1:3800", false],
  ["http://evil.com:3800", false],
  ["http://localhost:3800.evil.com", false],
  ["http://127.0.0.1.evil.com:3800", false],
  ["http://localhost:3800 http://evil.com", false],
  ["file://", false],
];
test.each(origins)("Origin %p is allowed: %p", async (origin, allowed) => {
  const { call } = caller(createFake());
  const headers = { origin, "content-type": "application/json" };
  for (const [path, method] of [
    ["/event", "POST"],
    ["/health", "GET"],
    ["/event", "OPTIONS"],
  ] as const) {
    const body = method === "POST" ? "{}" : null;
    const response = await call(path, { method, headers, body, via: "loopback" });
    const expected = !allowed ? 403 : method === "OPTIONS" ? 404 : 200;
    expect({ path, method, status: response.status }).toEqual({ path, method, status: expected });
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
  }
});

test("an Origin equal to an allowed Host is our own, also over https", async () => {
  const { call } = caller(createFake({ allowed_hosts: ["observer.example"] }));
  for (const scheme of ["http", "https"]) {
    const headers = { origin: `${scheme}://observer.example` };
    const response = await call("/health", { via: "loopback", host: "observer.example", headers });
    expect(response.status).toBe(200);
  }
});

test.each([
  ["application/json", 200],
  ["application/json; charset=utf-8", 200],
  ["Application/JSON", 200],
  ["text/plain", 415],
  ["application/x-www-form-urlencoded", 415],
  ["multipart/form-data; boundary=x", 415],
  ["application/jsonp", 415],
  ["application/x-ndjson", 415],
])("POST with an Origin and Content-Type %p answers %d", async (type, status) => {
  const { call } = caller(createFake());
  const headers = { origin: "http://localhost:3800", "content-type": type };
  for (const path of ["/event", "/hooks/claude-code"]) {
    const response = await call(path, { method: "POST", headers, body: "{}", via: "loopback" });
    expect(response.status).toBe(status);
  }
});

test.each([
  ["GET", "/", "cross-site", "navigate", 403],
  ["GET", "/app.js", "cross-site", "navigate", 403],
  ["GET", "/", "cross-site", "no-cors", 403],
  ["GET", "/app.js", "same-site", "no-cors", 403],
  ["GET", "/", "same-origin", "navigate", 200],
  ["GET", "/health", "cross-site", "navigate", 403],
  ["GET", "/health", "same-site", "cors", 403],
  ["GET", "/health", "none", "navigate", 200],
  ["GET", "/health", "same-origin", "cors", 200],
  ["GET", "/open?code=x", "cross-site", "navigate", 403],
  ["GET", "/stream", "cross-site", "cors", 403],
  ["POST", "/event", "cross-site", "navigate", 403],
  ["POST", "/event", "same-site", "cors", 403],
  ["POST", "/event", "nonsense", "cors", 403],
] as const)("%s %s with Sec-Fetch-Site %s, mode %s answers %d", async (...row) => {
  const [method, path, site, mode, status] = row;
  const { call } = caller(createFake());
  const headers = { "sec-fetch-site": site, "sec-fetch-mode": mode };
  const body = method === "POST" ? "{}" : null;
  const response = await call(path, { method, headers, body });
  await response.body?.cancel();
  expect(response.status).toBe(status);
});

test("a one-time code signs one browser in, once, within a minute", async () => {
  const fake = createFake();
  const { call } = caller(fake);
  const issued = await bodyOf(await call("/session-codes", { method: "POST" }));
  expect(issued).toMatchObject({ expires_in_s: 60 });
  expect(issued["url"]).toBe(`http://localhost:3800/open?code=${String(issued["code"])}`);
  const open = (code: unknown, method = "GET") =>
    call(`/open?code=${String(code)}`, { via: "loopback", method });
  expect((await open(issued["code"], "HEAD")).status).toBe(204);
  const opened = await open(issued["code"]);
  expect(opened.status).toBe(303);
  expect(opened.headers.get("location")).toBe("/");
  const cookie = opened.headers.get("set-cookie") ?? "";
  expect(cookie).toMatch(
    /^observer_session=[\w-]{43}; HttpOnly; SameSite=Strict; Path=\/; Max-Age=43200$/,
  );
  expect((await open(issued["code"])).status).toBe(403);

  const signedIn = { cookie: `theme=dark; ${cookie.split(";")[0]}` };
  const asBrowser = (path: string, method = "GET") =>
    call(path, { via: "loopback", headers: signedIn, method });
  expect((await asBrowser("/sessions")).status).toBe(200);
  expect((await asBrowser("/session-codes", "POST")).status).toBe(201);

  fake.time.monotonicMs += 12 * 3_600_000;
  expect((await asBrowser("/sessions")).status).toBe(401);
  const late = await bodyOf(await call("/session-codes", { method: "POST" }));
  fake.time.monotonicMs += 60_000;
  expect((await open(late["code"])).status).toBe(403);
});

test("the 101st browser signs the oldest out", async () => {
  const { call } = caller(createFake());
  const cookies: string[] = [];
  for (let at = 0; at <= 100; at += 1) {
    const { code } = await bodyOf(await call("/session-codes", { method: "POST" }));
    const opened = await call(`/open?code=${String(code)}`);
    cookies.push((opened.headers.get("set-cookie") ?? "").split(";")[0] ?? "");
  }
  const status = async (at: number) =>
    (await call("/version", { via: "loopback", headers: { cookie: cookies[at] ?? "" } })).status;
  expect(await status(0)).toBe(401);
  expect(await status(1)).toBe(200);
  expect(await status(100)).toBe(200);
});

test("includesScope orders ingest, read, admin", () => {
  const table = SCOPES.map((held) => SCOPES.map((needed) => includesScope(held, needed)));
  expect(table).toEqual([
    [true, false, false],
    [true, true, false],
    [true, true, true],
  ]);
});
