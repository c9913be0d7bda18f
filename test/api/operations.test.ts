import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { bodyOf, caller, createFake } from "../support/fake-api-deps.ts";

const post = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) => ({
  method: "POST",
  body,
  headers,
});

test("GET /health and /stats answer in the seed's form", async () => {
  const { call } = caller(createFake());
  expect(await bodyOf(await call("/health"))).toEqual({ status: "ok", ops_in_ring: 0 });
  expect(Object.keys(await bodyOf(await call("/stats")))).toEqual([
    "total",
    "successes",
    "failures",
    "by_source",
    "recent_scenario_ops",
    "all_time",
  ]);
});

test("POST /event answers accepted and the ring's size after the commit", async () => {
  const fake = createFake();
  const { call } = caller(fake);
  const response = await call("/event", post('{"success":true}'));
  expect(response.status).toBe(200);
  expect(await response.text()).toBe('{"accepted":true,"ring_size":1}');
  expect(fake.offered.map(({ kind }) => kind)).toEqual(["operation"]);
});

test.each(["text/plain", "application/x-www-form-urlencoded", "application/octet-stream", ""])(
  "POST /event reads JSON declared as %p",
  async (type) => {
    const { call } = caller(createFake());
    const response = await call("/event", post('{"a":1}', type ? { "content-type": type } : {}));
    expect(response.status).toBe(200);
  },
);

const deep = (levels: number): string => `{"a":${"[".repeat(levels)}${"]".repeat(levels)}}`;
const malformed: [string, string | Uint8Array<ArrayBuffer>, number][] = [
  ["empty", "", 400],
  ["blank", " \n", 400],
  ["null", "null", 400],
  ["a number", "7", 400],
  ["a string", '"x"', 400],
  ["an array", "[]", 400],
  ["half an object", '{"a":', 400],
  ["no JSON", "success=true", 400],
  ["trailing text", '{"a":1} x', 400],
  ["not UTF-8", new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 400],
  ["binary", new Uint8Array([0, 1, 2, 3, 255]), 400],
  ["too deep", deep(200), 400],
  ["20,000 levels", deep(20_000), 400],
  ["500,000 open brackets", "[".repeat(500_000), 400],
  ["too large", `{"a":"${"x".repeat(1 << 20)}"}`, 413],
];
test.each(malformed)("POST /event refuses a body that is %s", async (_, body, status) => {
  const fake = createFake();
  const { call } = caller(fake);
  const response = await call("/event", post(body));
  expect(response.status).toBe(status);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const problem = await bodyOf(response);
  expect(problem["error"]).toBeString();
  expect(problem["status"]).toBe(status);
  expect(fake.slices).toEqual([]);
});

test("POST /event takes nesting up to limits.depth and one more level never", async () => {
  const { call } = caller(createFake({ "limits.depth": 8 }));
  expect((await call("/event", post(deep(7)))).status).toBe(200);
  expect((await call("/event", post(deep(8)))).status).toBe(400);
});

test("POST /event refuses by Content-Length before it reads", async () => {
  const { call } = caller(createFake());
  const unread = new ReadableStream({
    pull() {
      throw new Error("was read");
    },
  });
  const response = await call("/event", {
    method: "POST",
    body: unread,
    headers: { "content-length": "99999999" },
  });
  expect(response.status).toBe(413);
});

test("POST /event stops reading a body without length at the limit", async () => {
  const { call } = caller(createFake());
  let pulled = 0;
  const endless = new ReadableStream({
    pull(controller) {
      pulled += 1;
      controller.enqueue(new Uint8Array(64 * 1024));
    },
  });
  const response = await call("/event", { method: "POST", body: endless });
  expect(response.status).toBe(413);
  expect(pulled).toBeLessThan(30);
});

test.each([
  ["conflict", "conflict: id is used with another body", 409, null],
  ["overloaded", "the inbox takes no more", 503, "1"],
  ["storage", "database or disk is full", 507, "1"],
  ["storage", "ENOSPC: no space left on device", 507, "1"],
  ["storage", "database is locked", 503, "1"],
] as const)("POST /event answers a rejection %s, %p with %d", async (...row) => {
  const [code, reason, status, retry] = row;
  const fake = createFake();
  fake.answerWith(async () => [{ status: "rejected", code, reason }]);
  const response = await caller(fake).call("/event", post("{}"));
  expect(response.status).toBe(status);
  expect(response.headers.get("retry-after")).toBe(retry);
});

test("POST /event answers a duplicate as accepted", async () => {
  const fake = createFake();
  fake.answerWith(async () => [{ status: "duplicate", id: "x" }]);
  expect((await caller(fake).call("/event", post("{}"))).status).toBe(200);
});

test.each([
  ["overloaded", 429],
  ["no_space", 507],
] as const)("ingest under pressure %p is refused unread with %d", async (code, status) => {
  const fake = createFake();
  fake.deps.pressure = () => ({ code, retryAfterS: 3 });
  const { call } = caller(fake);
  for (const path of ["/event", "/events"]) {
    const response = await call(path, post("{}"));
    expect(response.status).toBe(status);
    expect(response.headers.get("retry-after")).toBe("3");
  }
  expect(fake.deps.metrics.get("observer_requests_refused_total", { reason: code })).toBe(2);
});

test("a bug in a handler is a 500 with an id that the log has, and nothing else", async () => {
  const fake = createFake();
  fake.deps.parseOperation = () => {
    throw new TypeError("secret internals");
  };
  const response = await caller(fake).call("/event", post("{}"));
  expect(response.status).toBe(500);
  const body = await bodyOf(response);
  expect(JSON.stringify(body)).not.toContain("secret internals");
  expect(fake.logged.join()).toContain(String(body["id"]));
  expect(fake.logged.join()).toContain("secret internals");
});

test("arbitrary bytes to /event and /events never fail the server nor reach the inbox unchecked", async () => {
  const fake = createFake();
  const { call } = caller(fake);
  const jsonish = fc.oneof(
    fc.uint8Array({ maxLength: 400 }),
    fc.json().map((text) => new TextEncoder().encode(text)),
    fc.string({ unit: "binary", maxLength: 200 }).map((text) => new TextEncoder().encode(text)),
    fc
      .array(fc.json({ maxDepth: 2 }), { maxLength: 4 })
      .map((lines) => new TextEncoder().encode(lines.join("\n"))),
  );
  await fc.assert(
    fc.asyncProperty(jsonish, fc.constantFrom("/event", "/events"), async (bytes, path) => {
      const before = fake.offered.length;
      const response = await call(path, post(Uint8Array.from(bytes)));
      expect(response.status).toBeLessThan(500);
      const offered = fake.offered.slice(before);
      expect(offered.every(({ data }) => typeof data === "object" && !Array.isArray(data))).toBe(
        true,
      );
      const { accepted } = await bodyOf(response);
      expect(offered.length).toBe(Number(accepted ?? 0));
    }),
    { numRuns: 300 },
  );
});
