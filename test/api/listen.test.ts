import { afterAll, afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { listen, type Listening, type ListenOptions } from "../../src/api/listen.ts";
import { createApi } from "../../src/api/server.ts";
import { lookupPeerUid } from "../../src/kernel/peer-uid.ts";
import { ADMIN_TOKEN, createFake, event, type Fake } from "../support/fake-api-deps.ts";

const asRoot = process.getuid?.() === 0;
const directory = mkdtempSync(join(tmpdir(), "observer-api-"));
const socketPath = join(directory, "observer.sock");
const running: Listening[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop(0)));
  rmSync(socketPath, { force: true });
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Real sockets, the real peer lookup, a fake observer behind them. */
async function start(fake: Fake, options: Partial<ListenOptions> = {}): Promise<Listening> {
  fake.deps.peerUid = lookupPeerUid;
  fake.deps.ownUid = process.getuid?.() ?? -1;
  fake.deps.clock = { now: () => 0, monotonic: () => performance.now() };
  const listening = await listen(createApi(fake.deps), fake.deps, { port: 0, ...options });
  running.push(listening);
  return listening;
}

/** Writes bytes to a port and collects what comes back; `hangUpMs` closes our end meanwhile. */
function raw(port: number, text: string, { hangUpMs = 0 } = {}): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(text));
    socket.on("data", (chunk) => {
      answer += chunk.toString();
      if (hangUpMs === 0) socket.end();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(answer));
    if (hangUpMs > 0) setTimeout(() => socket.destroy(), hangUpMs);
  });
}

const hasIpv6Loopback = Object.values(networkInterfaces())
  .flat()
  .some((one) => one?.address === "::1");

test("listen serves both loopbacks on one free port", async () => {
  const { port, urls } = await start(createFake());
  expect(port).toBeGreaterThan(0);
  expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
  if (!hasIpv6Loopback) return console.log("skipped ::1: this host has none");
  expect(urls).toEqual([`http://127.0.0.1:${port}`, `http://[::1]:${port}`]);
  expect((await fetch(`http://[::1]:${port}/sessions`)).status).toBe(200);
});

test("a caller of our own user may read over either loopback, by the kernel's word", async () => {
  const { port } = await start(createFake());
  expect((await fetch(`http://127.0.0.1:${port}/sessions`)).status).toBe(200);
  expect((await fetch(`http://localhost:${port}/sessions`)).status).toBe(200);
});

test.skipIf(!asRoot || !Bun.which("setpriv") || !Bun.which("curl"))(
  "another user may report but not look, until it has a token (needs root, setpriv, curl)",
  async () => {
    const { port } = await start(createFake());
    const as = async (...args: string[]): Promise<string> => {
      const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
      const curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"];
      const child = Bun.spawn([...nobody, ...curl, ...args], { stdout: "pipe" });
      return child.stdout.text();
    };
    const url = `http://127.0.0.1:${port}`;
    expect(await as("-d", '{"success":true}', `${url}/event`)).toBe("200");
    expect(await as(`${url}/sessions`)).toBe("401");
    expect(await as("-H", `X-Observer-Token: ${ADMIN_TOKEN}`, `${url}/sessions`)).toBe("200");
  },
);

test.skipIf(!asRoot || !Bun.which("setpriv") || !Bun.which("curl"))(
  "the unix socket is closed to another user (needs root, setpriv, curl)",
  async () => {
    await start(createFake(), { unixSocketPath: socketPath });
    const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const child = Bun.spawn([...nobody, "curl", "-s", "--unix-socket", socketPath, "http://x/"]);
    expect(await child.exited).not.toBe(0);
  },
);

test("the unix socket has mode 0600 and takes any Host, also a short one", async () => {
  const listening = await start(createFake(), { unixSocketPath: socketPath });
  expect(statSync(socketPath).mode & 0o777).toBe(0o600);
  for (const host of ["observer", "x", "ab"]) {
    const response = await fetch(`http://${host}/sessions?limit=1`, { unix: socketPath });
    expect(response.status).toBe(200);
    const found = await fetch(`http://${host}/session-codes`, { unix: socketPath, method: "POST" });
    const { url } = (await found.json()) as { url: string };
    expect(url).toStartWith(`http://localhost:${listening.port}/open?code=`);
  }
  const posted = await fetch("http://x/event", { unix: socketPath, method: "POST", body: "{}" });
  expect(await posted.text()).toBe('{"accepted":true,"ring_size":1}');
});

test("listen replaces the socket of a dead observer, never that of a live one or another file", async () => {
  const dead = Bun.spawn(
    [
      "bun",
      "-e",
      `Bun.listen({unix:${JSON.stringify(socketPath)},socket:{data(){}}});console.log(1)`,
    ],
    { stdout: "pipe" },
  );
  await dead.stdout.getReader().read();
  dead.kill("SIGKILL");
  await dead.exited;
  expect(statSync(socketPath).isSocket()).toBe(true);
  await start(createFake(), { unixSocketPath: socketPath });
  expect((await fetch("http://x/livez", { unix: socketPath })).status).toBe(200);
  expect(start(createFake(), { unixSocketPath: socketPath })).rejects.toThrow("answers there");

  const file = join(directory, "file");
  writeFileSync(file, "precious");
  expect(start(createFake(), { unixSocketPath: file })).rejects.toThrow("no socket");
  expect(statSync(file).size).toBe(8);
  expect(start(createFake(), { unixSocketPath: `/${"x".repeat(120)}` })).rejects.toThrow("longer");
});

test("listen on a taken port says which one", async () => {
  const { port } = await start(createFake());
  expect(start(createFake(), { port })).rejects.toMatchObject({
    code: "occupied",
    message: expect.stringContaining(`port ${port}`),
  });
});

test("listen on an address that is not here says so, and only a missing ::1 of the default is fine", async () => {
  const absent = start(createFake(), { hosts: ["192.0.2.1"] });
  expect(absent).rejects.toMatchObject({ code: "failed" });
});

test("beyond loopback a caller needs a token also for ingest", async () => {
  const own = Object.values(networkInterfaces())
    .flat()
    .find((one) => one && !one.internal && one.family === "IPv4")?.address;
  if (!own) return console.log("skipped: this host has no address beyond loopback");
  const { port } = await start(createFake({ host: own }), { hosts: [own] });
  const url = `http://${own}:${port}`;
  expect((await fetch(`${url}/health`)).status).toBe(401);
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
  expect((await fetch(`${url}/health`, { headers })).status).toBe(200);
});

test("a wildcard address tells loopback callers from others", async () => {
  const { port } = await start(createFake(), { hosts: ["0.0.0.0"] });
  expect((await fetch(`http://127.0.0.1:${port}/sessions`)).status).toBe(200);
});

test.each([
  ["a declared length", "Content-Length: 100\r\n\r\n", '{"success":'],
  ["a complete object of a longer declared length", "Content-Length: 100\r\n\r\n", "{}"],
  ["chunks", "Transfer-Encoding: chunked\r\n\r\n", '7\r\n{"a":1}\r\n'],
])("a body with %s that is never finished changes nothing", async (_, headers, part) => {
  const fake = createFake();
  const { port } = await start(fake);
  for (const path of ["/event", "/events", "/hooks/claude-code"]) {
    const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}`;
    await raw(port, head + part, { hangUpMs: 60 });
  }
  await Bun.sleep(60);
  expect(fake.slices).toEqual([]);
  expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
});

test.each([
  ["HTTP/1.0 without Host", "GET /health HTTP/1.0\r\n\r\n", "403"],
  ["HTTP/1.1 without Host", "GET /health HTTP/1.1\r\n\r\n", "400"],
  ["two Hosts", "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", "403"],
  ["a foreign Host", "GET /health HTTP/1.1\r\nHost: evil\r\n\r\n", "403"],
  ["a short foreign Host", "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "403"],
  ["a foreign absolute target", "GET http://evil/health HTTP/1.1\r\nHost: evil\r\n\r\n", "403"],
  ["a loopback Host", "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "200"],
])("%s is answered %#", async (_, request, status) => {
  const { port } = await start(createFake());
  expect((await raw(port, request)).split(" ")[1]).toBe(status);
});

test("100 MB in chunks end at the limit and never sit in memory", async () => {
  const fake = createFake();
  const { port } = await start(fake);
  const before = process.memoryUsage.rss();
  const chunk = new Uint8Array(1 << 20);
  let sent = 0;
  const body = new ReadableStream({
    pull(controller) {
      if (sent === 100) return controller.close();
      sent += 1;
      controller.enqueue(chunk);
    },
  });
  const url = `http://127.0.0.1:${port}/events`;
  const answered = await fetch(url, { method: "POST", body }).then(
    ({ status }) => status,
    () => "cut",
  );
  expect([413, "cut"]).toContain(answered);
  expect(process.memoryUsage.rss() - before).toBeLessThan(80 << 20);
  expect(fake.slices).toEqual([]);
});

test("a declared 100 MB is refused with a problem body", async () => {
  const { port } = await start(createFake());
  const head = "POST /event HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n\r\n";
  const answer = await raw(port, head);
  expect(answer).toStartWith("HTTP/1.1 413");
  expect(answer).toContain("limit_bytes");
});

test("stop ends live streams at once and waits for a request in flight", async () => {
  const fake = createFake();
  const commit = Promise.withResolvers<void>();
  fake.answerWith(async () => {
    await commit.promise;
    return [{ status: "accepted", id: "e1", seq: 1 }];
  });
  const listening = await start(fake);
  const url = `http://127.0.0.1:${listening.port}`;
  const stream = await fetch(`${url}/stream`);
  const posted = fetch(`${url}/event`, { method: "POST", body: "{}" });
  while (fake.slices.length === 0) await Bun.sleep(5);
  fake.deps.live.publish("event", event("e1"));
  const stopped = listening.stop(5_000);
  expect(await stream.text()).toContain("event: event");
  setTimeout(() => commit.resolve(), 100);
  expect((await posted).status).toBe(200);
  const startedMs = performance.now();
  await stopped;
  expect(performance.now() - startedMs).toBeLessThan(2_000);
  expect(fetch(`${url}/health`)).rejects.toThrow();
});

test("stop cuts a request that outlasts the grace", async () => {
  const fake = createFake();
  fake.answerWith(() => new Promise(() => {}));
  const listening = await start(fake);
  const posted = fetch(`http://127.0.0.1:${listening.port}/event`, { method: "POST", body: "{}" });
  posted.catch(() => {});
  while (fake.slices.length === 0) await Bun.sleep(5);
  await listening.stop(50);
  expect(posted).rejects.toThrow();
});

test("a caller that sends a body far too large gets 413 after its last byte, not a broken pipe", async () => {
  const { port } = await start(createFake());
  const bytes = 20 * 1024 * 1024;
  const head = `POST /event HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Length: ${bytes}\r\n\r\n`;
  const { promise: ended, resolve } = Promise.withResolvers<string>();
  let answer = "";
  let sent = false;
  const socket = connect(port, "127.0.0.1", () =>
    socket.write(head + "x".repeat(bytes), () => (sent = true)),
  );
  socket.on("data", (chunk) => {
    answer += chunk.toString();
    resolve(sent ? answer : `early: ${answer}`);
  });
  socket.on("error", (error) => resolve(error.message));
  expect(await ended).toStartWith("HTTP/1.1 413");
  socket.destroy();
});
