// How the daemon is found and asked.

import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ApiError, createClient, NoDaemonError } from "../../src/cli/client.ts";
import { daemonRoutes, dataDirectory } from "../../src/cli/find-daemon.ts";
import { startFakeObserver, type FakeObserver, type FakeOptions } from "./fake-observer.ts";
import { run } from "./run-cli.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

function fake(options: Partial<FakeOptions> = {}): FakeObserver {
  const server = startFakeObserver({ nowMs: 0, ...options });
  cleanups.push(() => server.stop());
  return server;
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "observer-cli-"));
  cleanups.push(() => rmSync(path, { recursive: true }));
  return path;
}

const caller = (env: Record<string, string>, uid = 1000) => ({ env, cwd: "/srv", uid });

describe("dataDirectory", () => {
  test("flag, environment, systemd, root, home: in this order", () => {
    const env = {
      OBSERVER_DATA_DIR: "/a",
      STATE_DIRECTORY: "/b:/c",
      XDG_STATE_HOME: "/x",
      HOME: "/h",
    };
    expect(dataDirectory(caller(env), "sub")).toBe("/srv/sub");
    expect(dataDirectory(caller(env))).toBe("/a");
    expect(dataDirectory(caller({ ...env, OBSERVER_DATA_DIR: "" }))).toBe("/b");
    expect(dataDirectory(caller({ XDG_STATE_HOME: "/x" }, 0))).toBe("/var/lib/observer");
    expect(dataDirectory(caller({ XDG_STATE_HOME: "/x" }))).toBe("/x/observer");
    expect(dataDirectory(caller({ HOME: "/h" }))).toBe("/h/.local/state/observer");
  });
});

describe("daemonRoutes", () => {
  test("--url wins over OBSERVER_URL, both over everything else", () => {
    const env = { OBSERVER_URL: "http://b:1/", OBSERVER_PORT: "9" };
    expect(daemonRoutes(caller(env), { url: "http://a:1/prefix/" })).toEqual([
      { url: "http://a:1/prefix" },
    ]);
    expect(daemonRoutes(caller(env), {})).toEqual([{ url: "http://b:1" }]);
  });

  test("the data directory's token goes to this host only", () => {
    const data = folder();
    writeFileSync(join(data, "token"), "secret\n");
    const env = { OBSERVER_DATA_DIR: data };
    expect(
      daemonRoutes(caller(env), { url: "http://elsewhere.example:3800" })[0]?.token,
    ).toBeUndefined();
    expect(daemonRoutes(caller(env), { url: "http://127.0.0.1:3801" })[0]?.token).toBe("secret");
    expect(
      daemonRoutes(caller(env), { url: "http://127.0.0.1.evil.example" })[0]?.token,
    ).toBeUndefined();
    const named = { ...env, OBSERVER_TOKEN: "given" };
    expect(daemonRoutes(caller(named), { url: "http://elsewhere.example:3800" })[0]?.token).toBe(
      "given",
    );
  });

  test("a named data directory never leads to another daemon's port", () => {
    const data = folder();
    const routes = daemonRoutes(caller({ OBSERVER_PORT: "9" }), { data });
    expect(routes.map(({ unix }) => unix)).toEqual([join(data, "observer.sock")]);
  });
});

describe("createClient", () => {
  test("asks over the socket of the data directory, with its token", async () => {
    const data = folder();
    writeFileSync(join(data, "token"), "secret");
    const server = fake({ unix: join(data, "observer.sock"), token: "secret" });
    const ran = await run(["stats", "--json"], { env: { OBSERVER_DATA_DIR: data } });
    expect(ran.status).toBe(0);
    expect(server.seen[0]?.authorization).toBe("Bearer secret");
  });

  test("a socket that nobody serves falls back to the port", async () => {
    const data = folder();
    mkdirSync(data, { recursive: true });
    const socket = join(data, "observer.sock");
    // What kill -9 leaves behind: the file without a listener.
    const left = Bun.spawnSync([
      process.execPath,
      "-e",
      `Bun.listen({ unix: ${JSON.stringify(socket)}, socket: { data() {} } }); process.kill(process.pid, "SIGKILL")`,
    ]);
    expect(left.signalCode).toBe("SIGKILL");
    const server = fake();
    const env = { OBSERVER_DATA_DIR: data, OBSERVER_PORT: String(server.port) };
    expect((await run(["stats"], { env })).status).toBe(0);
  });

  test("gives up on a daemon that does not answer, without asking elsewhere", async () => {
    const silent = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Promise<Response>(() => undefined),
    });
    cleanups.push(() => silent.stop(true));
    const client = createClient([{ url: `http://127.0.0.1:${silent.port}` }], 100);
    const thrown = await client.get("/version").catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(NoDaemonError);
    expect(String(thrown)).toContain("did not answer within 0.1 s");
  });

  test("patient work may take longer than the limit", async () => {
    const slow = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch() {
        await Bun.sleep(250);
        return Response.json({ done: true });
      },
    });
    cleanups.push(() => slow.stop(true));
    const client = createClient([{ url: `http://127.0.0.1:${slow.port}` }], 50);
    expect(await client.post("/checkpoints", { patient: true })).toEqual({ done: true });
  });

  test("a problem body becomes its error text and status 1", async () => {
    const server = fake();
    const client = createClient([{ url: server.url }]);
    const thrown = await client.get("/nowhere").catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(ApiError);
    const ran = await run(["interruptions", "zzzz", "--url", server.url]);
    expect(ran.status).toBe(1);
    expect(ran.err).toContain('There is no row "zzzz"');
  });

  test("401 says what to do", async () => {
    const server = fake({ token: "right" });
    const ran = await run(["status", "--url", server.url]);
    expect(ran.status).toBe(1);
    expect(ran.err).toContain("but not to this user");
    expect(ran.err).toContain("--token-file FILE");
  });

  test("--token-file is sent, and a missing one is an error before anything is asked", async () => {
    const server = fake({ token: "right" });
    const file = join(folder(), "t");
    writeFileSync(file, "right\n");
    expect((await run(["stats", "--url", server.url, "--token-file", file])).status).toBe(0);
    const asked = server.seen.length;
    const ran = await run(["stats", "--url", server.url, "--token-file", `${file}.none`]);
    expect(ran.status).toBe(2);
    expect(ran.err).toContain(`--token-file "${file}.none": cannot be read`);
    expect(server.seen.length).toBe(asked);
  });

  test("something else at the port is told from observer", async () => {
    const other = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response("<h1>hi</h1>"),
    });
    cleanups.push(() => other.stop(true));
    const ran = await run(["stats", "--url", `http://127.0.0.1:${other.port}`]);
    expect(ran.status).toBe(1);
    expect(ran.err).toContain("is not observer");
  });
});
