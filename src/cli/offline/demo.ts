// `observer demo`: a recorded incident, played through the real machine in a throw-away directory, and narrated.

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../config/load.ts";
import { ObserverError } from "../../core/errors.ts";
import { startObserver, type RunningObserver } from "../../observer.ts";
import { createClient, type Client, type Json } from "../client.ts";
import type { CliIo } from "../io.ts";
import { applyEdit, createDemoWorkspace, damage } from "./demo-workspace.ts";
import recording from "./demo-recording.ndjson" with { type: "text" };
import { selfCommand } from "./self-command.ts";
import { stopSignal } from "./serve.ts";

/** The recording took 7.6 s; played faster, a stranger sees it all in a few seconds. */
const SPEED = 4;
/** A loop is recognised at once and a checkpoint of this workspace takes milliseconds; far beyond is a failure. */
const PATIENCE_MS = 15_000;
const STOP_GRACE_MS = 3_000;

interface RecordedHook {
  t: number;
  stdin: { hook_event_name: string; tool_name?: string; tool_input?: Json };
}

interface Stage {
  io: CliIo;
  workspace: string;
  observer: RunningObserver;
  client: Client;
}

/** Resolves with 0 when the workspace came back exactly, 1 when any step did not do what it says. */
export async function demo({ keep }: { keep: boolean }, io: CliIo): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), "observer-demo-"));
  const workspace = join(directory, "workspace");
  mkdirSync(workspace);
  createDemoWorkspace(workspace);
  const observer = await start(directory, io);
  try {
    const client = connect(directory, observer);
    await play({ io, workspace, observer, client });
    if (keep) {
      say(io, `\nThe page stays at ${await signInUrl(client, observer)}`);
      say(io, `Everything is in ${directory}. Ctrl-C ends it.`);
      await stopSignal();
      say(io, `\nKept in ${directory}; remove it when you have seen enough.`);
    } else {
      say(io, `\nThe page was at ${observer.url}; \`observer demo --keep\` leaves it open.`);
    }
    return 0;
  } finally {
    await observer.stop(STOP_GRACE_MS);
    if (!keep) rmSync(directory, { recursive: true, force: true });
  }
}

function say(io: CliIo, text: string): void {
  io.stdout(`${text}\n`);
}

function start(directory: string, io: CliIo): Promise<RunningObserver> {
  const config = loadConfig({
    flags: {
      port: 0,
      data_dir: join(directory, "data"),
      workspaces: [join(directory, "workspace")],
      "reactive.enabled": true,
      "alert.terminal": false,
      "log.level": "error",
    },
    environment: {},
    cwd: directory,
    uid: io.uid,
  });
  return startObserver(config, {
    stderr: io.stderr,
    stderrIsTty: io.isTty,
    selfCommand: selfCommand(),
    uid: io.uid,
  });
}

function connect(directory: string, observer: RunningObserver): Client {
  const token = readFileSync(join(directory, "data", "token"), "utf8").trim();
  return createClient([{ url: observer.url.replace(/\/$/, ""), token }], PATIENCE_MS);
}

async function signInUrl(client: Client, observer: RunningObserver): Promise<string> {
  const { url } = await client.post("/session-codes");
  return typeof url === "string" ? url : observer.url;
}

async function play(stage: Stage): Promise<void> {
  const { io, workspace, observer, client } = stage;
  say(io, `observer runs at ${observer.url}, for this demo only.`);
  say(io, `\n1. An agent works in ${workspace}: "Make the cart test pass."`);
  await playRecording(stage);

  const interruption = await until("the loop is recognised", async () =>
    first(await client.list("/interruptions", { type: "dead_loop" })),
  );
  say(
    io,
    `\n2. observer recognised it: ${String(interruption["severity"])} ${String(interruption["type"])}`,
  );
  say(io, `   ${String(interruption["summary"])}`);

  const checkpoint = await until("the workspace is saved", async () =>
    first(await client.list("/checkpoints", { kind: "auto", status: "ok" })),
  );
  const id = String(checkpoint["id"]);
  say(io, `\n3. It saved the workspace, unasked: checkpoint ${id}`);
  say(
    io,
    `   ${String(checkpoint["files"])} files in ${Math.round(Number(checkpoint["duration_ms"]))} ms by "${String(checkpoint["backend"])}", verified: ${String(checkpoint["verified"])}`,
  );

  say(io, "\n4. The agent goes on, and does what agents do:");
  for (const line of damage(workspace)) say(io, `   ${line}`);
  const changes = await changesSince(client, id);
  say(io, `   observer diff: ${changes.length} paths differ from the checkpoint`);
  if (changes.length === 0) throw failed("the damage was not seen");

  say(io, `\n5. observer checkpoint restore ${id} --yes`);
  const restored = await client.post(`/checkpoints/${id}/restore`, { body: {}, patient: true });
  const left = await changesSince(client, id);
  if (left.length > 0) throw failed(`${left.length} paths still differ after the restore`);
  say(io, "   restored exactly: content, modes, links; what came later is gone");
  say(io, `   and the damaged state is itself a checkpoint: ${String(restored["safety_id"])}`);
}

async function playRecording({ io, workspace, client }: Stage): Promise<void> {
  const hooks = recording
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line.replaceAll("{{workspace}}", workspace)) as RecordedHook);
  let at = 0;
  for (const { t, stdin } of hooks) {
    await Bun.sleep(((t - at) * 1_000) / SPEED);
    at = t;
    await client.post("/hooks/claude-code", { body: stdin });
    narrate(io, stdin);
    const { tool_input: input } = stdin;
    if (stdin.hook_event_name === "PostToolUse" && stdin.tool_name === "Edit" && input) {
      const path = input["file_path"] as string;
      applyEdit(path, { from: input["old_string"] as string, to: input["new_string"] as string });
    }
  }
}

function narrate(
  io: CliIo,
  { hook_event_name: hook, tool_name: tool, tool_input: input }: RecordedHook["stdin"],
): void {
  if (hook !== "PostToolUse" && hook !== "PostToolUseFailure") return;
  const what = tool === "Bash" ? input?.["command"] : "src/cart.py";
  say(io, `   ${hook === "PostToolUse" ? "ok    " : "failed"}  ${tool} ${String(what)}`);
}

function first({ items }: { items: Json[] }): Json | null {
  return items[0] ?? null;
}

async function changesSince(client: Client, id: string): Promise<Json[]> {
  const { items } = await client.get(`/checkpoints/${id}/diff`, { patient: true });
  return items as Json[];
}

async function until(what: string, look: () => Promise<Json | null>): Promise<Json> {
  const tries = PATIENCE_MS / 100;
  for (let attempt = 0; attempt < tries; attempt += 1) {
    const found = await look();
    if (found) return found;
    await Bun.sleep(100);
  }
  throw failed(`waited ${PATIENCE_MS / 1_000} s and it is not so that ${what}`);
}

function failed(what: string): ObserverError {
  return new ObserverError("failed", `The demo failed: ${what}`);
}
