import { expect, test } from "bun:test";
import { ACCESS } from "../../src/api/access.ts";
import { STATUS_OF_CODE } from "../../src/api/problem.ts";
import { ERROR_CODES, ObserverError } from "../../src/core/errors.ts";
import { bodyOf, caller, createFake } from "../support/fake-api-deps.ts";

const PROBLEM = "application/problem+json";

test.each(["/nope", "/event/x", "/eventss", "/sessions/a/b/c", "//evil", "/..%2f", "/v1/traces"])(
  "%s is 404 as JSON, for every method",
  async (path) => {
    const { call } = caller(createFake());
    for (const method of ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
      const response = await call(path, { method });
      expect(response.status).toBe(404);
      expect(response.headers.get("content-type")).toBe(PROBLEM);
      expect(await bodyOf(response)).toMatchObject({ status: 404, code: "not_found" });
    }
  },
);

test.each([
  ["/events", "DELETE", "POST, GET, HEAD"],
  ["/events", "OPTIONS", "POST, GET, HEAD"],
  ["/checkpoints/c1", "PUT", "GET, HEAD, DELETE"],
  ["/checkpoints/c1/restore", "GET", "POST"],
  ["/hooks/claude-code", "PATCH", "POST"],
  ["/", "POST", "GET, HEAD"],
])("%s with %s is 405 and allows %s", async (path, method, allow) => {
  const { call } = caller(createFake());
  const response = await call(path, { method });
  expect(response.status).toBe(405);
  expect(response.headers.get("allow")).toBe(allow);
  expect(response.headers.get("content-type")).toBe(PROBLEM);
});

test.each([
  ["/event", "GET", "POST"],
  ["/health", "POST", "GET, HEAD"],
  ["/stats", "DELETE", "GET, HEAD"],
])("%s with %s is 404 as at the seed, and allows %s", async (path, method, allow) => {
  const { call } = caller(createFake());
  const response = await call(path, { method });
  expect(response.status).toBe(404);
  expect(response.headers.get("allow")).toBe(allow);
  expect(await bodyOf(response)).toMatchObject({ code: "not_found" });
});

test("HEAD answers as GET without a body, and leaves no live stream open", async () => {
  const fake = createFake();
  const { call } = caller(fake);
  for (const path of ["/health", "/sessions", "/", "/app.js", "/metrics", "/stream", "/nope"]) {
    const head = await call(path, { method: "HEAD" });
    const get = await call(path);
    expect(head.status).toBe(get.status);
    expect(head.headers.get("content-type")).toBe(get.headers.get("content-type"));
    expect(head.body).toBeNull();
    await get.body?.cancel();
  }
  expect(fake.deps.metrics.get("observer_stream_subscribers")).toBe(0);
});

test("every answer forbids guessing of its type", async () => {
  const { call } = caller(createFake());
  for (const path of ["/health", "/nope", "/", "/metrics", "/openapi.json"]) {
    expect((await call(path)).headers.get("x-content-type-options")).toBe("nosniff");
  }
});

test("GET /livez, /readyz and /version", async () => {
  const fake = createFake();
  const { call } = caller(fake);
  expect(await bodyOf(await call("/livez"))).toEqual({ status: "ok" });
  expect(await bodyOf(await call("/readyz"))).toEqual({ status: "ready" });
  expect(await bodyOf(await call("/version"))).toMatchObject({
    version: expect.any(String),
    commit: expect.any(String),
    host: "test-host",
  });
  fake.deps.unready = () => "a restore is being finished";
  const unready = await call("/readyz");
  expect(unready.status).toBe(503);
  expect(await bodyOf(unready)).toMatchObject({ reason: "a restore is being finished" });
  expect((await call("/livez")).status).toBe(200);
});

test("GET /metrics shows refused requests by reason", async () => {
  const { call } = caller(createFake());
  await call("/nope", { via: "loopback", host: "evil.com" });
  const response = await call("/metrics");
  expect(response.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
  expect(await response.text()).toContain(
    'observer_requests_refused_total{reason="foreign_host"} 1',
  );
});

test("GET /openapi.json lists every route once, with its parameters", async () => {
  const { call } = caller(createFake());
  const document = await bodyOf(await call("/openapi.json"));
  const paths = document["paths"] as Record<string, Record<string, { parameters: object[] }>>;
  const listed = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map(
      (method) => `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ":$1")}`,
    ),
  );
  expect(listed.toSorted()).toEqual(Object.keys(ACCESS).toSorted());
  expect(paths["/sessions/{id}/events"]?.["get"]?.parameters).toContainEqual(
    expect.objectContaining({ name: "id", in: "path", required: true }),
  );
  expect(document["openapi"]).toBe("3.1.0");
});

test("the dashboard has strict headers and comes compressed and cached by content", async () => {
  const { call } = caller(createFake());
  const page = await call("/");
  expect(await page.text()).toBe("<!doctype html>page");
  const policy = page.headers.get("content-security-policy") ?? "";
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).not.toContain("unsafe");
  expect(page.headers.get("referrer-policy")).toBe("no-referrer");
  const etag = page.headers.get("etag") ?? "";
  const again = await call("/", { headers: { "if-none-match": `"other", W/${etag}` } });
  expect(again.status).toBe(304);
  expect(await again.text()).toBe("");

  const zipped = await call("/app.js", { headers: { "accept-encoding": "br, gzip;q=0.5" } });
  expect(zipped.headers.get("content-encoding")).toBe("gzip");
  expect(Buffer.from(Bun.gunzipSync(await zipped.arrayBuffer())).toString()).toBe("1;");
  const plain = await call("/app.js", { headers: { "accept-encoding": "gzip;q=0, br" } });
  expect(plain.headers.get("content-encoding")).toBeNull();
  expect((await call("/client.js")).headers.get("content-type")).toBe("application/javascript");
});

test("a build without a dashboard says so", async () => {
  const fake = createFake();
  fake.deps.assets.clear();
  expect((await caller(fake).call("/")).status).toBe(404);
});

test("every error code has a status, and an error's facts never replace the standard members", async () => {
  for (const code of ERROR_CODES) expect(STATUS_OF_CODE[code]).toBeGreaterThanOrEqual(400);
  const fake = createFake();
  fake.deps.checkpoints.verify = () => {
    throw new ObserverError("corrupt", "Cannot verify: content is damaged", {
      detail: { status: 200, error: "none", problems: 3 },
    });
  };
  fake.deps.checkpointRows.get = () => ({ id: "c1" }) as never;
  const response = await caller(fake).call("/checkpoints/c1/verify", { method: "POST" });
  expect(response.status).toBe(500);
  expect(await bodyOf(response)).toEqual({
    problems: 3,
    type: "urn:observer:error:corrupt",
    title: "Failed",
    status: 500,
    detail: "Cannot verify: content is damaged",
    error: "Cannot verify: content is damaged",
    code: "corrupt",
  });
});

test.each([
  ["/event", "GET", "POST"],
  ["/health", "POST", "GET, HEAD"],
  ["/stats", "DELETE", "GET, HEAD"],
])("%s with %s is 404, as the seed's paths were, and says %s", async (path, method, allow) => {
  const response = await caller(createFake()).call(path, { method });
  expect(response.status).toBe(404);
  expect(response.headers.get("allow")).toBe(allow);
  expect(await bodyOf(response)).toHaveProperty("error");
});
