// What agents write, as the built program keeps and tells it: secrets taken out, control characters escaped.

import { expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Daemon, startDaemon, until } from "../support/daemon.ts";

/** Made up here; joined so that no scanner takes this file for a leak. */
const SECRETS = [
  ["ghp", "_16C7e42F292c6912E7710c838347Ae178B4a"],
  ["AKIA", "Z3MHQ7XGUWLK4TRD"],
  [
    "sk-ant-",
    "api03-aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6kL9nO2qR5tU8wX1zA4cD7fG0iJ3lM6oP9rS2uV5xY8aB1dE4gH-aBcDeFgA",
  ],
  ["hunter2", "-Correct.Horse"],
].map((parts) => parts.join(""));

const NASTY =
  "make \u001b[31mred\u001b[0m\r\n2026-01-01T00:00:00.000Z critical fake - pwned \u0007\u202e<script>";

/** Five failures of one command, whose text is the agent's. */
async function failing(daemon: Daemon, command: string): Promise<void> {
  for (let index = 0; index < 5; index += 1) {
    const body = {
      session_id: "hostile",
      hook_event_name: "PostToolUseFailure",
      tool_name: "Bash",
      tool_use_id: `call-${index}`,
      tool_input: { command },
      error: `Exit code 1: ${command}`,
    };
    expect((await daemon.post("/hooks/claude-code", body)).status).toBe(200);
  }
  await until("the alert is told", async () => {
    const reactions = await daemon.list("/reactions?kind=alert&status=done");
    return reactions.length === 1;
  });
}

function bytesBelow(path: string): Buffer {
  if (statSync(path).isDirectory()) {
    return Buffer.concat(readdirSync(path).map((name) => bytesBelow(join(path, name))));
  }
  return statSync(path).isFile() ? readFileSync(path) : Buffer.alloc(0);
}

test("no secret that came by any way in reaches database, alerts, log or answers", async () => {
  await using daemon = await startDaemon({ flags: ["--log-level", "debug"] });
  const [github = "", aws = "", anthropic = "", password = ""] = SECRETS;
  const text = `export GITHUB_TOKEN=${github} AWS_KEY=${aws}; curl -H "x-api-key: ${anthropic}" postgres://me:${password}@db/x`;
  await failing(daemon, text);
  await daemon.post("/event", { endpoint: "/x", error: text, success: false, api_key: anthropic });
  await daemon.post("/events", [
    { kind: "prompt", session_id: "p", prompt: text },
    { kind: "tool_result", session_id: "p", ok: true, output: { nested: [{ password }] } },
  ]);
  const shown = JSON.stringify([
    await daemon.list("/events"),
    await daemon.list("/interruptions"),
    await daemon.list("/reactions"),
    (await daemon.get("/stats")).body,
  ]);
  const cli = await daemon.cli("events", "--json");
  await daemon.stop();
  const everything = `${bytesBelow(daemon.data).toString("latin1")}${daemon.log()}${shown}${cli.stdout}`;
  expect(everything).toContain("export GITHUB_TOKEN=");
  expect(SECRETS.filter((secret) => everything.includes(secret))).toEqual([]);
});

test("control characters and newlines of agents are escaped in alerts, log and terminal", async () => {
  await using daemon = await startDaemon();
  await failing(daemon, NASTY);
  const alerts = readFileSync(join(daemon.data, "alerts.log"), "utf8");
  expect(alerts.trim().split("\n")).toHaveLength(1);
  expect(alerts).toMatch(/^\S+ high retry_limit hostile "make /);
  const listed = await daemon.cli("interruptions");
  expect(listed.status).toBe(0);
  for (const said of [alerts, daemon.log(), listed.stdout]) {
    // eslint-disable-next-line no-control-regex
    expect(said).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
    expect(said).not.toMatch(/^2026-01-01T00:00:00.000Z critical fake/m);
  }
  const [trouble] = await daemon.list("/interruptions?type=retry_limit");
  expect(String(trouble?.["summary"])).toContain("make ");
});
