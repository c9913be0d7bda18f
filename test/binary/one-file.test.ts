// The one file: runs copied alone, for anyone, ignores what lies around, and ends as it says.

import { describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { VERBS, VERBS_LATER } from "../../src/cli/verbs.ts";
import {
  canBeNobody,
  copyProgram,
  createRoom,
  NOBODY,
  observerBinary,
  type Row,
  runObserver,
  startDaemon,
  until,
} from "../support/daemon.ts";

async function withBusyPort<T>(use: (port: number) => Promise<T>): Promise<T> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  try {
    return await use(typeof address === "object" && address ? address.port : 0);
  } finally {
    server.close();
  }
}

const users = [
  { name: "this user", uid: undefined, skip: false },
  { name: "nobody", uid: NOBODY, skip: !canBeNobody() },
];

describe("dist/observer copied alone to an empty directory", () => {
  for (const { name, uid, skip } of users) {
    test.skipIf(skip)(
      `starts as ${name} with an empty environment, answers, and demo succeeds`,
      async () => {
        using room = createRoom(uid);
        const binary = copyProgram(observerBinary(), { directory: room.path, name: "observer" });
        const who = uid === undefined ? {} : { uid };
        const alone = { ...who, binary, cwd: room.path, env: { PATH: "" } };
        {
          await using daemon = await startDaemon({
            ...alone,
            env: {},
            data: join(room.path, "data"),
          });
          expect((await daemon.get("/health")).body).toEqual({ status: "ok", ops_in_ring: 0 });
          expect((await daemon.post("/event", {})).body["accepted"]).toBe(true);
          const status = await daemon.cli("status");
          expect([status.status, status.stderr]).toEqual([0, ""]);
          const page = await fetch(daemon.url, { headers: { accept: "text/html" } });
          expect(page.headers.get("content-type")).toStartWith("text/html");
          expect(await page.text()).toContain("<!doctype html>");
          expect(await daemon.stop()).toBe(0);
        }
        const before = readdirSync(room.path).sort();
        const demo = await runObserver(["demo"], { ...who, binary, cwd: room.path });
        expect([demo.status, demo.stderr]).toEqual([0, ""]);
        expect(demo.stdout).toContain("dead_loop");
        expect(demo.stdout).toContain("verified: true");
        expect(demo.stdout).toContain("restored exactly");
        expect(demo.stdout).toMatch(/http:\/\/127\.0\.0\.1:\d+/);
        expect(readdirSync(room.path).sort()).toEqual(before);
      },
      30_000,
    );
  }

  test("a hostile .env, bunfig.toml, package.json and tsconfig.json where it starts are ignored", async () => {
    using room = createRoom();
    const marker = join(room.path, "owned");
    const evil = `require("node:fs").writeFileSync(${JSON.stringify(marker)}, "x"); process.exit(66);\n`;
    writeFileSync(join(room.path, "evil.js"), evil);
    writeFileSync(
      join(room.path, "bunfig.toml"),
      'preload = ["./evil.js"]\n[run]\npreload = ["./evil.js"]\n',
    );
    for (const name of [".env", ".env.local", ".env.production", ".env.development"]) {
      writeFileSync(
        join(room.path, name),
        "OBSERVER_HOST_NAME=evil\nOBSERVER_REQUIRE_TOKEN=true\n",
      );
    }
    writeFileSync(
      join(room.path, "package.json"),
      '{"imports":{"#x":"./evil.js"},"type":"commonjs"}',
    );
    writeFileSync(
      join(room.path, "tsconfig.json"),
      '{"compilerOptions":{"paths":{"*":["./evil.js"]}}}',
    );
    mkdirSync(join(room.path, "node_modules/elysia"), { recursive: true });
    writeFileSync(join(room.path, "node_modules/elysia/index.js"), evil);

    // The workspace is the hostile directory, so that the helper which saves it meets all of this as well.
    const flags = ["--reactive", "--workspace", room.path];
    await using daemon = await startDaemon({ cwd: room.path, flags });
    const version = await daemon.get("/version");
    expect(version.status).toBe(200);
    expect(version.body["host"]).not.toBe("evil");
    const made = await daemon.cli("checkpoint", "create", "--workspace", room.path, "--json");
    expect(made.status).toBe(0);
    expect(JSON.parse(made.stdout)).toMatchObject({ status: "ok", verified: true });
    const said = await runObserver(["version", "--json"], { cwd: room.path });
    expect([said.status, said.stderr]).toEqual([0, ""]);
    expect(await Bun.file(marker).exists()).toBe(false);
  });
});

describe("how it starts and ends", () => {
  test("a second daemon on the same data directory exits 1, the first goes on", async () => {
    await using daemon = await startDaemon();
    const second = await runObserver(["--port", "0", "--data", daemon.data]);
    expect([second.status, second.stdout]).toEqual([1, ""]);
    expect(second.stderr).toContain("another observer is running on it");
    expect((await daemon.cli("status")).status).toBe(0);
  });

  test("a port that is in use exits 1 and says so", async () => {
    using room = createRoom();
    await withBusyPort(async (port) => {
      const ran = await runObserver(["--port", String(port), "--data", join(room.path, "data")]);
      expect([ran.status, ran.stdout]).toEqual([1, ""]);
      expect(ran.stderr).toContain(`port ${port}`);
      expect(ran.stderr).toContain("--port");
      expect(ran.stderr.trim().split("\n")).toHaveLength(1);
    });
  });

  test("SIGTERM under load exits 0 and everything acknowledged is stored", async () => {
    using room = createRoom();
    const data = join(room.path, "data");
    await using daemon = await startDaemon({ data });
    let sent = 0;
    let acknowledged = 0;
    const state = { stopping: false };
    // Goes on until it is refused, which may happen only once the daemon was told to stop.
    const send = async (): Promise<void> => {
      try {
        for (;;) {
          sent += 2;
          const events = [{ kind: "note" }, { kind: "note" }];
          const { status, body } = await daemon.post("/events", events);
          if (status !== 200) throw new Error(`it answered ${status}`);
          acknowledged += Number(body["accepted"]);
        }
      } catch (thrown) {
        if (!state.stopping) throw thrown;
      }
    };
    const senders = Array.from({ length: 4 }, send);
    await Bun.sleep(150);
    state.stopping = true;
    expect(await daemon.stop()).toBe(0);
    await Promise.all(senders);
    const left = readdirSync(data);
    expect(left).not.toContain("observer.sock");
    expect(left).not.toContain("observer.db-wal");
    const database = new Database(join(data, "observer.db"), { readonly: true });
    const row = database.query<{ n: number }, []>("SELECT count(*) AS n FROM events").get();
    database.close();
    expect(acknowledged).toBeGreaterThan(0);
    expect(row?.n).toBeGreaterThanOrEqual(acknowledged);
    expect(row?.n).toBeLessThanOrEqual(sent);
  });

  test("hooks that were answered are stored when SIGTERM comes next", async () => {
    using room = createRoom();
    const data = join(room.path, "data");
    await using daemon = await startDaemon({ data });
    const body = { session_id: "s", hook_event_name: "UserPromptSubmit", prompt: "go" };
    expect((await daemon.post("/hooks/claude-code", body)).status).toBe(200);
    expect(await daemon.stop()).toBe(0);
    await using next = await startDaemon({ data });
    expect((await next.get("/sessions/s")).body["events"]).toBe(1);
  });
});

describe("wrong usage exits 2 and lists every problem", () => {
  const cases: [string, string[], string[]][] = [
    [
      "several flags",
      ["--hots", "x", "--port", "abc", "--log-level", "loud"],
      ["--hots", "--host", "port", "--log-level"],
    ],
    ["a flag without its value", ["--port"], ["--port"]],
    ["an extra argument", ["serve", "extra"], ["extra"]],
    ["an unknown verb", ["statsu"], ["statsu", "status"]],
    ["an unknown subverb", ["checkpoint", "restor"], ["checkpoint restore"]],
    ["a client verb's flags", ["events", "--limit", "0", "--bogus"], ["--limit", "--bogus"]],
    ["a missing file", ["--config", "/nonexistent.toml"], ["/nonexistent.toml"]],
    ["a restore that cannot ask", ["checkpoint", "restore", "latest"], ["--yes"]],
    [
      "an address beyond loopback without a token",
      ["--host", "0.0.0.0", "--port", "0"],
      ["--token-file", "--insecure"],
    ],
  ];
  for (const [name, args, words] of cases) {
    test(name, async () => {
      using room = createRoom();
      const ran = await runObserver(args, { env: { OBSERVER_DATA_DIR: join(room.path, "data") } });
      expect([ran.status, ran.stdout]).toEqual([2, ""]);
      for (const word of words) expect(ran.stderr).toContain(word);
    });
  }

  test("a configuration file and the environment, all of it at once, with the nearest name", async () => {
    using room = createRoom();
    const file = join(room.path, "observer.toml");
    writeFileSync(file, 'port = "x"\n[reactive]\nenabld = true\n[log]\nlevel = "loud"\n');
    const env = { OBSERVER_DURABILITY: "maybe" };
    for (const args of [
      ["--config", file],
      ["config", "validate", "--config", file],
    ]) {
      const ran = await runObserver(args, { env });
      expect(ran.status).toBe(2);
      for (const word of ["port", "reactive.enabled", "log.level", "durability", "full, normal"]) {
        expect(ran.stderr).toContain(word);
      }
      expect(ran.stderr).not.toContain("\\n");
    }
  });

  test("a verb of a later version says so", async () => {
    for (const verb of VERBS_LATER) {
      const ran = await runObserver(verb.split(" "));
      // An installed hook of a later version must never stop an agent.
      expect([verb, ran.status]).toEqual([verb, verb === "hook" ? 0 : 2]);
      expect(ran.stderr).toContain("not in this version");
    }
  });
});

describe("verbs", () => {
  test("version --json", async () => {
    const ran = await runObserver(["version", "--json"]);
    const version = JSON.parse(ran.stdout) as Row;
    expect([ran.status, ran.stderr]).toEqual([0, ""]);
    expect(version["version"]).toMatch(/^\d+\.\d+\.\d+/);
    expect(version["commit"]).toMatch(/^([0-9a-f]{12}(\+dirty)?|unknown)$/);
    expect(version["platform"]).toBe(`${process.platform}-${process.arch}`);
  });

  test("client verbs exit 3 without a daemon, with nothing on stdout", async () => {
    using room = createRoom();
    const nowhere = ["--data", join(room.path, "data")];
    const file = join(room.path, "ops.jsonl");
    writeFileSync(file, '{"endpoint":"x","success":true,"timestamp":"2026-01-31T08:00:00Z"}\n');
    const lists = ["sessions", "events", "interruptions", "reactions"].flatMap((verb) => [
      [verb],
      [verb, "--json"],
    ]);
    const checkpoints = [
      ["create", "--workspace", room.path],
      ["list"],
      ["show", "abc"],
      ["diff", "abc"],
      ["restore", "abc", "--yes"],
      ["pin", "abc"],
      ["delete", "abc"],
      ["verify", "abc"],
    ];
    const others = [["status"], ["stats"], ["open"], ["import", file]];
    for (const args of [
      ...lists,
      ...others,
      ...checkpoints.map((rest) => ["checkpoint", ...rest]),
    ]) {
      const ran = await runObserver([...args, ...nowhere]);
      expect([args.join(" "), ran.status, ran.stdout]).toEqual([args.join(" "), 3, ""]);
      expect(ran.stderr).toContain("no observer answers");
    }
  }, 30_000);

  test("--help of every verb exits 0 and names the verb", async () => {
    for (const { name } of VERBS) {
      const ran = await runObserver([...name.split(" "), "--help"]);
      expect([name, ran.status, ran.stderr]).toEqual([name, 0, ""]);
      expect(ran.stdout).toContain(`observer ${name}`);
    }
    for (const args of [["--help"], ["help"], ["checkpoint", "--help"]]) {
      expect((await runObserver(args)).status).toBe(0);
    }
  }, 30_000);

  test("every verb that prints data prints JSON with --json, and no colour without a terminal", async () => {
    using room = createRoom();
    const workspace = join(room.path, "workspace");
    mkdirSync(workspace);
    writeFileSync(join(workspace, "a.txt"), "a");
    await using daemon = await startDaemon({ flags: ["--workspace", workspace] });
    await daemon.post("/events", [
      { kind: "note", session_id: "s", note: "\u001b[31mred\u001b[0m\nsecond line" },
    ]);
    const made = await daemon.cli(
      "checkpoint",
      "create",
      "--workspace",
      workspace,
      "--label",
      "first",
      "--json",
    );
    const id = String((JSON.parse(made.stdout) as Row)["id"]);
    const verbs = [
      ["status"],
      ["sessions"],
      ["events"],
      ["interruptions"],
      ["reactions"],
      ["stats"],
      ["version"],
    ];
    const saved = [
      ["list"],
      ["show", id.slice(0, 6)],
      ["show", "latest"],
      ["diff", id],
      ["verify", id],
      ["pin", id],
      ["restore", id, "--yes"],
      ["restore", id, "--dry-run"],
    ];
    for (const args of [...verbs, ...saved.map((rest) => ["checkpoint", ...rest])]) {
      const where =
        args[0] === "version" ? runObserver([...args, "--json"]) : daemon.cli(...args, "--json");
      const ran = await where;
      expect([args.join(" "), ran.status, ran.stderr]).toEqual([args.join(" "), 0, ""]);
      expect(typeof JSON.parse(ran.stdout)).toBe("object");
      const plain = await (args[0] === "version" ? runObserver(args) : daemon.cli(...args));
      expect(plain.stdout).not.toContain("\u001b");
    }
    const kept = await daemon.cli("checkpoint", "delete", id);
    expect([kept.status, kept.stdout]).toEqual([1, ""]);
    expect(kept.stderr).toContain("pinned");
  }, 30_000);
});

describe("/client.js", () => {
  for (const runtime of ["bun", "node"]) {
    const program = runtime === "bun" ? process.execPath : Bun.which("node");
    if (program === null) console.log("skipped: there is no node here");
    test.skipIf(program === null)(`loads in ${runtime} and posts operations`, async () => {
      using room = createRoom();
      await using daemon = await startDaemon();
      const source = await fetch(`${daemon.url}/client.js`);
      expect(source.status).toBe(200);
      expect(source.headers.get("content-type")).toContain("javascript");
      writeFileSync(join(room.path, "client.mjs"), await source.text());
      const script = join(room.path, "use.mjs");
      writeFileSync(
        script,
        `import { observed, postObserverEvent } from "./client.mjs";
await postObserverEvent({ endpoint: "/search", success: true, source: "scenario", staffer_id: "w9" });
const { data, op } = await observed("/sql", { query: "SELECT 1" }, "one row");
process.stdout.write(JSON.stringify({ data, op }));
`,
      );
      using gateway = Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        fetch: async (request) =>
          Response.json({
            path: new URL(request.url).pathname,
            got: await request.json(),
            rows: [1],
          }),
      });
      const child = Bun.spawn([program ?? "", script], {
        env: { PATH: "/usr/bin:/bin", OBSERVER_URL: daemon.url, GATEWAY_URL: gateway.url.origin },
        cwd: dirname(script),
        stdout: "pipe",
        stderr: "pipe",
      });
      const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
      expect([await child.exited, err]).toEqual([0, ""]);
      const { data, op } = JSON.parse(out) as { data: Row; op: Row };
      expect(data).toMatchObject({ path: "/sql", got: { query: "SELECT 1" } });
      expect(op).toMatchObject({
        endpoint: "/sql",
        success: true,
        source: "mcp",
        input_summary: "one row",
      });
      const operations = await until("both operations are stored", async () => {
        const found = await daemon.list("/events?kind=operation");
        return found.length === 2 && found;
      });
      expect(operations.map(({ endpoint }) => String(endpoint)).sort()).toEqual([
        "/search",
        "/sql",
      ]);
      expect(operations.find(({ endpoint }) => endpoint === "/sql")).toMatchObject({
        source: "mcp",
        success: true,
      });
    });
  }

  test("never fails or holds up its caller when observer is away or silent", async () => {
    await using daemon = await startDaemon();
    using room = createRoom();
    const client = join(room.path, "client.mjs");
    writeFileSync(client, await (await fetch(`${daemon.url}/client.js`)).text());
    await withBusyPort(async (port) => {
      const script = `import { postObserverEvent } from ${JSON.stringify(client)}; await postObserverEvent({}); process.exit(0);`;
      for (const url of ["http://127.0.0.1:1", `http://127.0.0.1:${port}`]) {
        const started = performance.now();
        const child = Bun.spawn([process.execPath, "-e", script], {
          env: { PATH: "/usr/bin:/bin", OBSERVER_URL: url },
          stderr: "pipe",
        });
        expect([await child.exited, await child.stderr.text()]).toEqual([0, ""]);
        expect(performance.now() - started).toBeLessThan(6_000);
      }
    });
  });
});
