// Each verb against a fake of the contract: what it asks, what it prints, how it ends.

import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { startFakeObserver } from "./fake-observer.ts";
import { HOSTILE } from "./fake-rows.ts";
import { run, type RunOptions } from "./run-cli.ts";

const NOW = Date.parse("2026-01-31T08:00:00.000Z");
const server = startFakeObserver({ nowMs: NOW });
const nothing = startFakeObserver({ nowMs: NOW, empty: true });
afterAll(async () => {
  await server.stop();
  await nothing.stop();
});
beforeEach(() => void server.seen.splice(0));

const ask = (line: string, options: RunOptions = {}) =>
  run(line.split(" "), { nowMs: NOW, env: { OBSERVER_URL: server.url }, ...options });
const askEmpty = (line: string) =>
  run(line.split(" "), { nowMs: NOW, env: { OBSERVER_URL: nothing.url } });

const LOOKS = [
  "status",
  "sessions",
  "events",
  "interruptions",
  "reactions",
  "stats",
  "checkpoint list",
  "agents",
];

describe("verbs that look", () => {
  test("fit into 80 columns and print no control characters", async () => {
    for (const line of [
      ...LOOKS,
      "interruptions k3v9",
      "checkpoint show c7m2",
      "checkpoint diff c7m2",
    ]) {
      const ran = await ask(line);
      expect(ran.status).toBe(0);
      expect(ran.out).not.toMatch(/[^\P{Cc}\n]/u);
      expect(ran.out).not.toContain("\u202e");
      if (line.startsWith("interruptions ")) continue;
      for (const row of ran.out.split("\n")) expect(Bun.stringWidth(row)).toBeLessThanOrEqual(80);
    }
  });

  test("--json prints what the API answered and nothing else", async () => {
    for (const line of LOOKS) {
      const ran = await ask(`${line} --json`);
      expect(ran.status).toBe(0);
      expect(ran.err).toBe("");
      expect(typeof JSON.parse(ran.out)).toBe("object");
    }
    const page = JSON.parse((await ask("events --json --limit 2")).out);
    expect(page.items).toHaveLength(2);
    expect(page.next_cursor).toBe("2");
  });

  test("say what to do next when there is nothing, on standard error", async () => {
    for (const line of LOOKS.filter((verb) => verb !== "status" && verb !== "stats")) {
      const ran = await askEmpty(line);
      expect(ran.status).toBe(0);
      expect(ran.out).toBe("");
      expect(ran.err).toMatch(/observer |curl /);
    }
    expect(JSON.parse((await askEmpty("sessions --json")).out)).toEqual({
      items: [],
      next_cursor: null,
    });
  });

  test("flags become query parameters", async () => {
    await ask(
      "interruptions --severity critical --session s1 --since 10m --limit 5 --filter host=h",
    );
    expect(server.seen[0]?.query).toEqual({
      severity: "critical",
      session_id: "s1",
      since: "2026-01-31T07:50:00.000Z",
      limit: "5",
      host: "h",
    });
    await ask("events --type tool_result --agent codex --cursor 3");
    expect(server.seen[1]?.query).toMatchObject({
      kind: "tool_result",
      agent: "codex",
      cursor: "3",
    });
  });

  test("severity is coloured where colour is allowed", async () => {
    expect((await ask("interruptions", { colour: true })).out).toContain("\u001b[1;31mcritical");
  });

  test("text of agents is printed as one escaped line", async () => {
    const ran = await ask("events --limit 3", { columns: 200 });
    expect(ran.out).toContain(HOSTILE);
    expect(ran.out).toContain("\\n");
    expect(ran.out.trim().split("\n")).toHaveLength(4);
  });

  test("status joins version, health, counts, last trouble and checkpoints", async () => {
    const { out } = await ask("status");
    for (const text of [
      "0.1.0",
      "ready",
      "12 seen, 3 failed",
      "dead_loop",
      "newest 5 min ago, ok",
    ]) {
      expect(out).toContain(text);
    }
    const parts = JSON.parse((await ask("status --json")).out);
    expect(Object.keys(parts).sort()).toEqual([
      "checkpoint",
      "interruptions",
      "ready",
      "stats",
      "version",
    ]);
  });

  test("status shows why observer is not ready, and which workspaces are armed", async () => {
    const unready = startFakeObserver({
      nowMs: NOW,
      answer: (path) => {
        const protection = {
          armed: true,
          workspaces: [{ path: "/srv/a", backend: null, reason: "not owned" }],
        };
        if (path !== "/readyz") return undefined;
        return Response.json({ error: "a restore rolls forward", protection }, { status: 503 });
      },
    });
    const { out, status } = await ask("status", { env: { OBSERVER_URL: unready.url } });
    await unready.stop();
    expect(status).toBe(0);
    expect(out).toContain("not ready: a restore rolls forward");
    expect(out).toContain("armed for 1 workspace");
    expect(out).toContain("unprotected: not owned");
  });

  test("interruptions ID shows detail, reactions and the way back; --resolve settles it", async () => {
    const { out } = await ask("interruptions k3v9");
    for (const text of [
      "dead_loop",
      "detail.sequence",
      "ev000048",
      "checkpoint done",
      "checkpoint restore c7m2x9k4v1q8z",
    ]) {
      expect(out).toContain(text);
    }
    server.seen.splice(0);
    const settled = await ask("interruptions k3v9 --resolve --json");
    expect(server.seen.map(({ method, path }) => `${method} ${path}`)).toEqual([
      "POST /interruptions/k3v9/resolve",
    ]);
    expect(JSON.parse(settled.out).resolved_at).not.toBeNull();
    expect((await ask("interruptions --resolve")).status).toBe(2);
  });

  test("interruptions --open leaves out what is settled", async () => {
    const { items } = JSON.parse((await ask("interruptions --open --json --limit 1")).out);
    expect(items.every((row: { resolved_at: unknown }) => row.resolved_at === null)).toBe(true);
    expect(items).toHaveLength(1);
  });

  test("open prints the URL alone on standard output", async () => {
    const ran = await ask("open");
    expect(ran.out).toBe("http://localhost:3800/open?code=xyz\n");
    expect(ran.err).not.toBe("");
  });
});

describe("checkpoint", () => {
  test("create sends an absolute workspace and the label, and prints the object", async () => {
    const ran = await ask("checkpoint create --workspace app --label before --json", {
      cwd: "/srv",
    });
    expect(server.seen[0]?.body).toEqual({ workspace: "/srv/app", label: "before" });
    expect(JSON.parse(ran.out)).toMatchObject({
      workspace: "/srv/app",
      label: "before",
      status: "ok",
    });
    await ask("checkpoint create", { cwd: "/srv/here" });
    expect(server.seen[1]?.body).toEqual({ workspace: "/srv/here" });
  });

  test("show names what is not in it and why; latest is the newest usable one", async () => {
    const { out } = await ask("checkpoint show d4f6");
    expect(out).toContain("skipped data/dump.sql: larger than");
    expect(out).not.toContain("node_modules");
    expect(JSON.parse((await ask("checkpoint show latest --json")).out).id).toBe("c7m2x9k4v1q8z");
    expect((await askEmpty("checkpoint show latest")).status).toBe(1);
    server.seen.length = 0;
    await ask("checkpoint show latest", { cwd: "/srv/app" });
    expect(server.seen[0]?.query).toMatchObject({ workspace: "/srv/app" });
  });

  test("diff takes a second id or a path", async () => {
    await ask("checkpoint diff c7m2 d4f6");
    await ask("checkpoint diff c7m2 src");
    await ask("checkpoint diff c7m2 d4f6 src/cart.ts");
    const queries = server.seen
      .filter(({ path }) => path.endsWith("/diff"))
      .map(({ query }) => query);
    expect(queries).toEqual([{ to: "d4f6" }, { path: "src" }, { to: "d4f6", path: "src/cart.ts" }]);
    const { out } = await ask("checkpoint diff c7m2");
    expect(out).toContain("docs/basket.md → docs/cart.md");
    expect(out).toContain("4 changes: 1 added, 1 modified, 1 deleted, 1 renamed");
  });

  test("diff --text prints one file line by line, and nothing that a terminal acts upon", async () => {
    const { out, status } = await ask("checkpoint diff c7m2 d4f6 src/cart.ts --text");
    expect(server.seen.at(-1)?.query).toEqual({ to: "d4f6", path: "src/cart.ts", text: "1" });
    expect(status).toBe(0);
    expect(out).toStartWith(
      "--- a/src/cart.ts\n+++ b/src/cart.ts\n@@ -1,1 +1,2 @@\n-old\\r\n+\tnew\n+",
    );
    expect(out).not.toMatch(/[^\P{Cc}\n\t]/u);
    expect(out).not.toContain("\u202e");
    expect((await ask("checkpoint diff c7m2 binary --text")).out).toBe(
      "binary is binary or not UTF-8: 10 B → 2.0 KiB\n",
    );
    const same = await ask("checkpoint diff c7m2 same --text");
    expect([same.out, same.err]).toEqual(["", "no changes in the content\n"]);
    expect(JSON.parse((await ask("checkpoint diff c7m2 same --text --json")).out).text).toBe("");
    expect((await ask("checkpoint diff c7m2 --text")).status).toBe(2);
  });

  test("pin and delete ask for one id", async () => {
    expect(JSON.parse((await ask("checkpoint pin c7m2 --json")).out).pinned).toBe(true);
    expect(JSON.parse((await ask("checkpoint pin c7m2 --off --json")).out).pinned).toBe(false);
    expect((await ask("checkpoint delete c7m2")).status).toBe(0);
    expect(server.seen.at(-1)).toMatchObject({ method: "DELETE", path: "/checkpoints/c7m2" });
    expect((await ask("checkpoint delete latest")).status).toBe(2);
  });

  test("prune says what it removed and why, --dry-run what it would; what failed is a failure", async () => {
    const dry = await ask("checkpoint prune --dry-run --workspace /srv/agents/shop");
    expect(dry).toMatchObject({ status: 0 });
    expect(dry.out).toContain("another one stands for its hour");
    expect(dry.err).toContain("1 checkpoint would be removed");
    expect(server.seen.at(-1)).toMatchObject({
      path: "/checkpoints/prune",
      body: { dry_run: true, workspace: "/srv/agents/shop" },
    });
    const real = await ask("checkpoint prune --json");
    expect(real.status).toBe(1);
    expect(JSON.parse(real.out)).toMatchObject({ items: [{ id: "c7m2", reason: "thinned" }] });
    expect(server.seen.at(-1)?.body).toEqual({ dry_run: false });
  });

  test("verify fails when content is damaged; --all leaves out what holds nothing", async () => {
    expect((await ask("checkpoint verify c7m2")).status).toBe(0);
    const all = await ask("checkpoint verify --all --json");
    expect(all.status).toBe(1);
    expect(JSON.parse(all.out).items).toHaveLength(2);
    expect((await ask("checkpoint verify d4f6")).out).toContain("data/x: content differs");
    expect((await ask("checkpoint verify")).status).toBe(2);
  });
});

describe("checkpoint restore", () => {
  const restores = () =>
    server.seen.filter(({ path }) => path.endsWith("/restore")).map(({ body }) => body);

  test("without a terminal it needs --yes, and asks the daemon for nothing", async () => {
    expect((await ask("checkpoint restore c7m2")).status).toBe(2);
    expect(server.seen).toEqual([]);
  });

  test("prints the plan and asks; anything but yes changes nothing", async () => {
    const ran = await ask("checkpoint restore c7m2", { isTty: true, answer: "" });
    expect(ran.status).toBe(1);
    expect(ran.asked).toEqual(["make 4 changes in /srv/agents/shop? [y/N] "]);
    expect(ran.err).toContain("src/cart.ts");
    expect(ran.err).toContain("nothing was changed");
    expect(restores()).toEqual([{ dry_run: true }]);
  });

  test("restores after yes, by the full id, and tells how to undo it", async () => {
    const ran = await ask("checkpoint restore c7m2", { isTty: true, answer: "y" });
    expect(ran.status).toBe(0);
    expect(restores()).toEqual([{ dry_run: true }, {}]);
    expect(server.seen.at(-1)?.path).toBe("/checkpoints/c7m2x9k4v1q8z/restore");
    expect(ran.out).toContain("restored 4 changes");
    expect(ran.err).toContain("observer checkpoint restore s4f3s4f3s4f3s");
  });

  test("--yes passes path, freeze and force on, and prints the checkpoint object", async () => {
    const ran = await ask("checkpoint restore latest --yes --path src --freeze --force --json");
    expect(ran.status).toBe(0);
    expect(restores()).toEqual([
      { path: "src", freeze: true, force: true, dry_run: true },
      { path: "src", freeze: true, force: true },
    ]);
    const object = JSON.parse(ran.out);
    expect(object.id).toBe("c7m2x9k4v1q8z");
    expect(object.restore).toMatchObject({ status: "done", safety_id: "s4f3s4f3s4f3s" });
  });

  test("--dry-run stops at the plan", async () => {
    const ran = await ask("checkpoint restore c7m2 --dry-run --json");
    expect(JSON.parse(ran.out).restore.status).toBe("planned");
    expect(restores()).toEqual([{ dry_run: true }]);
    expect((await ask("checkpoint restore c7m2 --dry-run")).out).toContain("4 changes");
  });

  test("--to is written by this program, and restores nothing", async () => {
    const requests: unknown[] = [];
    const local = {
      exportCheckpoint: ({
        id,
        to,
        path,
        dataDir,
      }: {
        id: string;
        to: string;
        path?: string;
        dataDir: string;
      }) => {
        requests.push({ id, to, path, dataDir });
        return Promise.resolve({ files: 3, bytes: 12, warnings: ["owner was not set"] });
      },
    };
    const ran = await ask("checkpoint restore c7m2 --to out --path src --data /d", {
      local,
      cwd: "/home/me",
    });
    expect(ran.status).toBe(0);
    expect(requests).toEqual([
      { id: "c7m2x9k4v1q8z", to: "/home/me/out", path: "src", dataDir: "/d" },
    ]);
    expect(restores()).toEqual([]);
    expect(ran.err).toContain("owner was not set");
    expect((await ask("checkpoint restore c7m2 --to out --force", { local })).status).toBe(2);
  });
});

describe("verbs that work on files", () => {
  test("replay --json prints events and interruptions of the injected replay", async () => {
    const seen: string[] = [];
    const local = {
      replay: (file: string) => {
        seen.push(file);
        return Promise.resolve({
          events: 7,
          interruptions: [{ type: "dead_loop", severity: "critical", summary: "x" }],
        });
      },
    };
    const ran = await ask("replay rec.jsonl --json", { local, cwd: "/r" });
    expect(seen).toEqual(["/r/rec.jsonl"]);
    expect(JSON.parse(ran.out)).toEqual({
      events: 7,
      interruptions: [{ type: "dead_loop", severity: "critical", summary: "x" }],
    });
    const shown = await ask("replay rec.jsonl", { local });
    expect(shown.out).toContain("dead_loop");
    expect(shown.err).toContain("7 events, 1 interruption");
  });

  test("import tells what was taken and names refused lines", async () => {
    const rejected = [{ file: "/r/a", index: 4, error: "not\nJSON" }];
    const report = { files: 1, accepted: 3, duplicates: 2, rejected };
    const local = { importFile: () => Promise.resolve(report) };
    const ran = await ask("import a", { local, cwd: "/r" });
    expect(ran.status).toBe(0);
    expect(ran.out).toBe("1 file: 3 events taken in, 2 known already, 1 refused\n");
    expect(ran.err).toBe("/r/a:5: not\\nJSON\n");
    const none = { importFile: () => Promise.resolve({ ...report, accepted: 0, duplicates: 0 }) };
    expect((await ask("import a", { local: none })).status).toBe(1);
    expect((await ask("import")).status).toBe(2);
  });

  test("demo and config hand their flags on and pass the status through", async () => {
    const seen: unknown[] = [];
    const config = (request: unknown) => Promise.resolve(seen.push(request) > 0 ? 2 : 0);
    const local = {
      demo: ({ keep }: { keep: boolean }) => Promise.resolve(keep ? 5 : 0),
      configShow: config,
    };
    expect((await ask("demo --keep", { local })).status).toBe(5);
    expect((await ask("config show --origin --config c.toml", { local })).status).toBe(2);
    expect(seen).toEqual([{ json: false, origin: true, config: "c.toml" }]);
  });
});
