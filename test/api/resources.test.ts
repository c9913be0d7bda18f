import { expect, test } from "bun:test";
import {
  bodyOf,
  caller,
  checkpoint,
  createFake,
  event,
  type Fake,
  interruption,
  NOW,
  reaction,
  session,
} from "../support/fake-api-deps.ts";

function filled(): Fake {
  const fake = createFake();
  fake.rows.events.push(event("e1", { note: "hi", id: "forged", host: "forged", extra: [1] }));
  fake.rows.sessions.push(session("s1"), session("a/b ü"));
  fake.rows.interruptions.push(interruption("i1"));
  fake.rows.reactions.push(reaction("r1"));
  fake.rows.checkpoints.push(checkpoint("c123"), checkpoint("c145"), checkpoint("d1"));
  return fake;
}

test("events are shown with their fields, the envelope first and never overwritten", async () => {
  const { call } = caller(filled());
  const shown = await bodyOf(await call("/events/e1"));
  expect(shown).toEqual({
    id: "e1",
    kind: "note",
    time: "2026-01-01T00:00:00.000Z",
    received_at: "2026-01-01T00:00:00.005Z",
    session_id: null,
    agent: null,
    workspace: null,
    pid: null,
    host: "test-host",
    source: "test",
    note: "hi",
    extra: [1],
  });
  expect(Object.keys(shown)[0]).toBe("id");
});

test("a field named __proto__ is shown as it came", async () => {
  const fake = createFake();
  const data = JSON.parse('{"__proto__":{"polluted":true}}') as Record<string, unknown>;
  fake.rows.events.push(event("e1", data));
  const text = await (await caller(fake).call("/events/e1")).text();
  expect(text).toContain('"__proto__":{"polluted":true}');
});

test("sessions, interruptions and reactions have the contract's fields", async () => {
  const { call } = caller(filled());
  expect(await bodyOf(await call("/sessions/s1"))).toEqual({
    id: "s1",
    host: "test-host",
    agent: "claude-code",
    workspace: "/w",
    pid: 42,
    started_at: "2026-01-01T00:00:00.000Z",
    last_at: "2026-01-01T00:00:01.000Z",
    ended_at: null,
    end_reason: null,
    events: 3,
    tool_calls: 2,
    errors: 1,
    tokens: { input: 1, output: 2, cache_read: 3, cache_write: 4 },
    cost_usd: 0.5,
    unpriced_calls: 0,
  });
  expect(await bodyOf(await call("/interruptions/i1"))).toEqual({
    id: "i1",
    type: "dead_loop",
    severity: "critical",
    host: "test-host",
    session_id: "s1",
    agent: "claude-code",
    workspace: "/w",
    pid: null,
    time: "2026-01-01T00:00:00.000Z",
    detected_ms: 12,
    summary: "read, edit, test, again",
    detail: { limit: 3, value: 4 },
    evidence: ["e1"],
    count: 2,
    first_time: "2025-12-31T23:59:59.990Z",
    last_time: "2026-01-01T00:00:00.000Z",
    resolved_at: null,
  });
  expect(await bodyOf(await call("/reactions/r1"))).toEqual({
    id: "r1",
    interruption_id: "i1",
    kind: "alert",
    status: "done",
    reason: "critical",
    host: "test-host",
    workspace: "/w",
    session_id: "s1",
    started_at: "2026-01-01T00:00:00.000Z",
    duration_ms: 7,
    detail: { file: true },
  });
});

test("checkpoints have the contract's fields and keep the backend's handle to themselves", async () => {
  const { call } = caller(filled());
  expect(await bodyOf(await call("/checkpoints/d1"))).toEqual({
    id: "d1",
    host: "test-host",
    workspace: "/w",
    backend: "store",
    kind: "manual",
    reason: "manual",
    label: null,
    interruption_id: null,
    session_id: null,
    agent: null,
    created_at: "2026-01-01T00:00:00.000Z",
    duration_ms: 9,
    files: 2,
    bytes: 10,
    verified: true,
    pinned: false,
    parent_id: null,
    status: "ok",
    error: null,
    skipped: [{ path: "big.bin", reason: "too large", listed_only: false }],
    warnings: [],
  });
});

test.each(["/sessions", "/events", "/interruptions", "/reactions", "/checkpoints"])(
  "GET %s answers a page",
  async (path) => {
    const { call } = caller(filled());
    const page = await bodyOf(await call(`${path}?limit=1`));
    expect(page).toMatchObject({ items: [{ host: "test-host" }], next_cursor: null });
  },
);

test.each(["sessions", "events", "interruptions", "reactions", "checkpoints"])(
  "GET /%s/… of an unknown id answers 404 as a problem",
  async (table) => {
    const { call } = caller(filled());
    const response = await call(`/${table}/nope`);
    expect(response.status).toBe(404);
    expect(await bodyOf(response)).toMatchObject({ code: "not_found", error: expect.any(String) });
  },
);

test("lists pass limit, cursor, times and every other parameter as a filter", async () => {
  const fake = filled();
  const { call } = caller(fake);
  await call(
    "/events?limit=7&cursor=abc&since=2026-01-01T00:00:00Z&until=1767225600001&kind=note&tool=a%26b",
  );
  await call("/events?since=2026-01-01&until=2026-01-01T02:00:00%2B02:00");
  await call("/events?since=2026-01-01T00:00&until=2026-01-01T02:00:00+02:00");
  await call("/sessions");
  expect(fake.queries).toEqual([
    {
      limit: 7,
      cursor: "abc",
      sinceMs: NOW,
      untilMs: NOW + 1,
      filters: { kind: "note", tool: "a&b" },
    },
    { limit: 100, sinceMs: NOW, untilMs: NOW, filters: {} },
    { limit: 100, sinceMs: NOW, untilMs: NOW, filters: {} },
    { limit: 100, filters: {} },
  ]);
});

test.each([
  ["limit=0", "limit"],
  ["limit=1001", "limit"],
  ["limit=-1", "limit"],
  ["limit=1e2", "limit"],
  ["limit=ten", "limit"],
  ["limit=", "limit"],
  ["limit=1&limit=2", "limit"],
  ["kind=a&kind=b", "kind"],
  ["since=yesterday", "since"],
  ["since=", "since"],
  ["until=2026-13-01", "until"],
  ["until=9999999999999999", "until"],
  ["unknown=1", "unknown"],
])("GET /events?%s answers 400 and names the parameter", async (query, field) => {
  const { call } = caller(filled());
  const response = await call(`/events?${query}`);
  expect(response.status).toBe(400);
  expect(await bodyOf(response)).toMatchObject({ error: expect.stringContaining(`"${field}"`) });
});

test("GET /sessions/:id/events asks for that session only, also for an id with odd characters", async () => {
  const fake = filled();
  const { call } = caller(fake);
  expect((await call(`/sessions/${encodeURIComponent("a/b ü")}/events?kind=note`)).status).toBe(
    200,
  );
  expect(fake.queries).toEqual([{ limit: 100, filters: { session_id: "a/b ü", kind: "note" } }]);
  expect((await call("/sessions/s1/events?session_id=s2")).status).toBe(400);
  expect((await call("/sessions/nope/events")).status).toBe(404);
  expect((await call("/sessions/%zz")).status).toBe(404);
});

test("GET of one row refuses parameters that mean nothing", async () => {
  const { call } = caller(filled());
  expect((await call("/sessions/s1?since=1")).status).toBe(400);
});

test("POST /interruptions/:id/resolve answers the resolved interruption", async () => {
  const { call } = caller(filled());
  const resolved = await call("/interruptions/i1/resolve", { method: "POST" });
  expect(await bodyOf(resolved)).toMatchObject({
    id: "i1",
    resolved_at: "2026-01-01T00:00:00.000Z",
  });
  expect((await call("/interruptions/nope/resolve", { method: "POST" })).status).toBe(404);
});

test("POST /checkpoints answers 201, the object and where it is", async () => {
  const fake = filled();
  const { call } = caller(fake);
  const response = await call("/checkpoints", {
    method: "POST",
    body: '{"workspace":"/w2","label":"before"}',
  });
  expect(response.status).toBe(201);
  expect(response.headers.get("location")).toBe("/checkpoints/new1");
  expect(await bodyOf(response)).toMatchObject({ id: "new1", workspace: "/w2", status: "ok" });
  expect(fake.calls).toEqual([
    ["create", { workspace: "/w2", kind: "manual", reason: "manual", label: "before" }],
  ]);
});

test("POST /checkpoints that failed is an error that carries the object", async () => {
  const { call } = caller(filled());
  const response = await call("/checkpoints", { method: "POST", body: '{"workspace":"/broken"}' });
  expect(response.status).toBe(500);
  expect(await bodyOf(response)).toMatchObject({
    error: 'Cannot checkpoint "/broken": no disk',
    checkpoint: { status: "failed" },
  });
});

test.each([
  ["", "workspace"],
  ["{}", "workspace"],
  ['{"workspace":7}', "workspace"],
  ['{"workspace":""}', "workspace"],
  ['{"workspace":"/w","lable":"x"}', "lable"],
  ['{"workspace":"/w","label":7}', "label"],
  ["[]", "object"],
  ["nonsense", "JSON"],
])("POST /checkpoints with %p answers 400 about %s", async (body, about) => {
  const fake = filled();
  const response = await caller(fake).call("/checkpoints", { method: "POST", body });
  expect(response.status).toBe(400);
  expect(await bodyOf(response)).toMatchObject({ error: expect.stringContaining(about) });
  expect(fake.calls).toEqual([]);
});

test("a workspace that policy refuses is 403", async () => {
  const { call } = caller(filled());
  const response = await call("/checkpoints", { method: "POST", body: '{"workspace":"/"}' });
  expect(response.status).toBe(403);
  expect(await bodyOf(response)).toMatchObject({ code: "refused_path" });
});

test("a checkpoint is found by id, by a unique prefix and as latest", async () => {
  const fake = filled();
  fake.rows.checkpoints.unshift({ ...checkpoint("f1"), status: "failed" });
  fake.rows.checkpoints.unshift({ ...checkpoint("s1"), kind: "safety" });
  const { call } = caller(fake);
  const idOf = async (name: string) => (await bodyOf(await call(`/checkpoints/${name}`)))["id"];
  expect(await idOf("c123")).toBe("c123");
  expect(await idOf("c12")).toBe("c123");
  expect(await idOf("d")).toBe("d1");
  expect(await idOf("latest")).toBe("c123");
  const ambiguous = await call("/checkpoints/c1");
  expect(ambiguous.status).toBe(409);
  expect(await bodyOf(ambiguous)).toMatchObject({ candidates: ["c123", "c145"] });
  expect((await call("/checkpoints/zz")).status).toBe(404);
  for (const bad of ["..%2F..", "A", "c%00", "%20"]) {
    expect((await call(`/checkpoints/${bad}`)).status).toBe(400);
  }
  expect((await call("/checkpoints/latest?workspace=/other")).status).toBe(404);
});

test("POST /checkpoints/:id/restore passes exactly what was asked", async () => {
  const fake = filled();
  const { call } = caller(fake);
  const restore = (body: string | null) =>
    call("/checkpoints/c12/restore", { method: "POST", body });
  expect(await bodyOf(await restore('{"dry_run":true,"path":"src"}'))).toMatchObject({
    status: "planned",
  });
  expect(await bodyOf(await restore(null))).toMatchObject({ status: "done" });
  expect((await restore('{"dryrun":true}')).status).toBe(400);
  expect((await restore('{"dry_run":"true"}')).status).toBe(400);
  expect(fake.calls).toEqual([
    ["restore", { id: "c123", dryRun: true, freeze: false, force: false, path: "src" }],
    ["restore", { id: "c123", dryRun: false, freeze: false, force: false }],
  ]);
});

test("checkpoints are pruned and verified all together; a misspelt dry_run removes nothing", async () => {
  const fake = filled();
  const { call } = caller(fake);
  const prune = (body: string | null) => call("/checkpoints/prune", { method: "POST", body });
  expect(await bodyOf(await prune('{"dry_run":true,"workspace":"/w"}'))).toEqual({
    items: [{ id: "c1", workspace: "/w", reason: "age", bytes: 5 }],
    dry_run: true,
    freed_bytes: 0,
    failed: [],
  });
  expect(await bodyOf(await prune(null))).toMatchObject({ dry_run: false, freed_bytes: 5 });
  expect((await prune('{"dryrun":true}')).status).toBe(400);
  expect(fake.calls).toEqual([
    ["prune", { dryRun: true, workspace: "/w" }],
    ["prune", { dryRun: false }],
  ]);
  const verify = await bodyOf(await call("/checkpoints/verify", { method: "POST", body: null }));
  expect(verify["ok"]).toBe(true);
  expect((verify["items"] as unknown[]).length).toBeGreaterThan(1);
});

test("checkpoints are compared, pinned, verified and deleted", async () => {
  const fake = filled();
  const { call } = caller(fake);
  const diff = await bodyOf(await call("/checkpoints/c123/diff?to=d&path=src"));
  expect(diff).toMatchObject({ checkpoint_id: "c123", to_id: "d1", next_cursor: null });
  expect(diff["items"]).toEqual([{ path: "a.txt", change: "added", type: "file", size_after: 3 }]);
  expect(fake.calls).toEqual([["diff", "c123", "d1", "src"]]);
  expect((await call("/checkpoints/c123/diff?form=d")).status).toBe(400);

  const text = await bodyOf(await call("/checkpoints/c123/diff?to=d&path=a.txt&text=1"));
  expect(text).toMatchObject({ checkpoint_id: "c123", to_id: "d1", text: "--- a/a.txt\n" });
  expect(fake.calls.at(-1)).toEqual(["diffText", "c123", "d1", "a.txt"]);
  expect((await call("/checkpoints/c123/diff?path=a.txt&text=yes")).status).toBe(400);

  const post = (action: string, body: string | null = null) =>
    call(`/checkpoints/c123/${action}`, { method: "POST", body });
  expect(await bodyOf(await post("pin"))).toMatchObject({ pinned: true });
  expect(await bodyOf(await post("pin", '{"pinned":false}'))).toMatchObject({ pinned: false });
  expect(await bodyOf(await post("verify"))).toMatchObject({ ok: true });
  expect(await bodyOf(await call("/checkpoints/c123", { method: "DELETE" }))).toMatchObject({
    status: "deleted",
  });
});
