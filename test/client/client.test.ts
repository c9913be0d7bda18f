import { afterAll, beforeAll, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";

// The module is used as agents use it: as a file, by the runtimes that are here, against real servers.
const client = fileURLToPath(new URL("../../src/client/client.js", import.meta.url));
const runtimes = ["bun", "node", "deno"].filter((name) => Bun.which(name));

let received: Record<string, unknown>[] = [];
let slowMs = 0;
const servers: ReturnType<typeof Bun.serve>[] = [];
let gateway = "";
let observer = "";

beforeAll(() => {
  const gatewayServer = Bun.serve({
    port: 0,
    async fetch(request) {
      const path = new URL(request.url).pathname;
      if (path === "/rows") return Response.json({ rows: [1, 2], echo: await request.json() });
      if (path === "/fails") return Response.json({ error: "no such worker" }, { status: 500 });
      if (path === "/status") return Response.json({}, { status: 502 });
      return new Response("not json");
    },
  });
  const observerServer = Bun.serve({
    port: 0,
    async fetch(request) {
      await Bun.sleep(slowMs);
      received.push((await request.json()) as Record<string, unknown>);
      return Response.json({ accepted: true, ring_size: received.length });
    },
  });
  servers.push(gatewayServer, observerServer);
  gateway = gatewayServer.url.origin;
  observer = observerServer.url.origin;
});
afterAll(() => Promise.all(servers.map((server) => server.stop(true))));

async function run(runtime: string, code: string, environment: Record<string, string> = {}) {
  received = [];
  const script = `import { observed, postObserverEvent } from ${JSON.stringify(client)};
    const result = await (async () => { ${code} })(); process.stdout.write(JSON.stringify(result));`;
  const command =
    runtime === "bun"
      ? ["bun", "-e", script]
      : runtime === "node"
        ? ["node", "--input-type=module", "-e", script]
        : ["deno", "eval", `import process from "node:process"; ${script}`];
  const child = Bun.spawn(command, {
    env: {
      PATH: process.env["PATH"],
      GATEWAY_URL: gateway,
      OBSERVER_URL: observer,
      ...environment,
    },
    stdout: "pipe",
    stderr: "inherit",
  });
  const text = await child.stdout.text();
  expect(await child.exited).toBe(0);
  return JSON.parse(text) as unknown;
}

for (const runtime of runtimes) {
  test(`${runtime}: observed returns the gateway's data and records the operation`, async () => {
    const result = await run(runtime, `return observed("/rows", {q: 1}, "two rows");`);
    expect(result).toMatchObject({
      data: { rows: [1, 2], echo: { q: 1 } },
      op: { endpoint: "/rows", input_summary: "two rows", success: true, output_summary: "2 rows" },
    });
    // Another test's record may still have been on its way.
    const own = received.filter((row) => row["endpoint"] === "/rows");
    expect(own).toMatchObject([{ source: "mcp", endpoint: "/rows", success: true }]);
  });

  test(`${runtime}: observed reports a failing gateway as data, never as a rejection`, async () => {
    const result = (await run(
      runtime,
      `const all = []; for (const path of ["/fails", "/status", "/text"]) all.push(await observed(path, {}, "x"));
       return all;`,
    )) as { data: unknown; op: Record<string, unknown> }[];
    expect(result.map(({ op }) => op["success"])).toEqual([false, false, false]);
    expect(result[0]).toMatchObject({
      data: { error: "no such worker" },
      op: { output_summary: "ERROR: no such worker", error: "no such worker" },
    });
    expect(result[2]?.data).toHaveProperty("error");
    expect(received.length).toBe(3);
  });

  test(`${runtime}: nothing rejects when gateway and observer are away`, async () => {
    const away = { GATEWAY_URL: "http://127.0.0.1:9", OBSERVER_URL: "http://127.0.0.1:9/" };
    const result = await run(
      runtime,
      `const { data, op } = await observed("/x", {}, "x"); return [Object.keys(data), op.success, await postObserverEvent({})];`,
      away,
    );
    expect(result).toEqual([["error"], false, false]);
  });

  test(`${runtime}: postObserverEvent gives up on a slow observer after 2 s`, async () => {
    slowMs = 4_000;
    try {
      const result = await run(
        runtime,
        `const t = performance.now(); const ok = await postObserverEvent({}); return [ok, performance.now() - t];`,
      );
      const [ok, ms] = result as [boolean, number];
      expect(ok).toBe(false);
      expect(ms).toBeGreaterThan(1_900);
      expect(ms).toBeLessThan(3_500);
    } finally {
      slowMs = 0;
    }
  });
}

test("client module: at least bun was tried", () => {
  expect(runtimes).toContain("bun");
});
