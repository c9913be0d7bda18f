import { expect, test } from "bun:test";
import { bodyOf, caller, createFake } from "../support/fake-api-deps.ts";

const post = (body: string) => ({ method: "POST", body });

test("POST /hooks/claude-code answers {} and keeps what the hook says", async () => {
  const fake = createFake();
  const response = await caller(fake).call("/hooks/claude-code", post('{"session_id":"s"}'));
  expect(response.status).toBe(200);
  expect(await response.text()).toBe("{}");
  expect(fake.offered.length).toBe(1);
  expect(fake.deps.metrics.get("observer_hooks_total", { vendor: "claude-code" })).toBe(1);
});

test("a hook does not wait for a commit that never comes", async () => {
  const fake = createFake();
  fake.answerWith(() => new Promise(() => {}));
  const startedMs = performance.now();
  const response = await caller(fake).call("/hooks/claude-code", post("{}"));
  expect(response.status).toBe(200);
  expect(performance.now() - startedMs).toBeLessThan(50);
});

test("a hook is answered 200 under pressure, after a parser's bug and after a broken inbox", async () => {
  const fake = createFake();
  fake.deps.pressure = () => ({ code: "overloaded", retryAfterS: 1 });
  fake.deps.hooks = {
    ...fake.deps.hooks,
    buggy: () => {
      throw new TypeError("bug");
    },
    silent: () => [],
  };
  const { call } = caller(fake);
  expect((await call("/hooks/claude-code", post("{}"))).status).toBe(200);
  expect((await call("/hooks/buggy", post("{}"))).status).toBe(200);
  expect((await call("/hooks/silent", post("{}"))).status).toBe(200);
  expect(fake.slices.length).toBe(1);
  expect(fake.logged.join()).toContain("hook parser failed");
  fake.answerWith(() => Promise.reject(new Error("inbox is gone")));
  expect((await call("/hooks/claude-code", post("{}"))).status).toBe(200);
  await Bun.sleep(0);
  expect(fake.logged.join()).toContain("hook events lost");
});

test.each([
  ["", 400],
  ["{", 400],
  ["[]", 400],
  ["null", 400],
  ['"x"', 400],
  [`{"a":"${"x".repeat(16 << 20)}"}`, 413],
  [`{"a":${"[".repeat(1_000)}${"]".repeat(1_000)}}`, 400],
])("a hook body %# that is not an object of limited size is refused", async (body, status) => {
  const fake = createFake();
  expect((await caller(fake).call("/hooks/claude-code", post(body))).status).toBe(status);
  expect(fake.slices).toEqual([]);
});

test.each(["codex", "gemini", "opencode", "agent-strace"])(
  "the hook of %s says that it is not in this version",
  async (vendor) => {
    const response = await caller(createFake()).call(`/hooks/${vendor}`, post("{}"));
    expect(response.status).toBe(404);
    expect(await bodyOf(response)).toMatchObject({
      error: expect.stringContaining("not in this version"),
      known: ["claude-code"],
    });
  },
);

test.each(["nope", "__proto__", "constructor", "toString"])(
  "the hook of %p is unknown",
  async (vendor) => {
    const response = await caller(createFake()).call(`/hooks/${vendor}`, post("{}"));
    expect(response.status).toBe(404);
    expect(await bodyOf(response)).toMatchObject({
      error: expect.stringContaining("unknown vendor"),
    });
  },
);
