// `observer status`: one screen that says whether all is well.

import { ApiError, type Client, type Json } from "../client.ts";
import { CLIENT_FLAGS, JSON_FLAG } from "../flags.ts";
import { paintOf, printJson } from "../output.ts";
import { ago, compact, count, line, number, object, objects, text } from "../show.ts";
import { renderFields, renderTable } from "../table.ts";
import type { Call, Verb } from "../verb.ts";
import { interruptionColumns } from "./interruptions.ts";

interface Overview {
  [part: string]: unknown;
  version: Json;
  ready: Json;
  stats: Json;
  interruptions: Json[];
  checkpoint: Json | null;
}

async function overview(client: Client): Promise<Overview> {
  const [version, ready, stats, interruptions, checkpoints] = await Promise.all([
    client.get("/version"),
    client.get("/readyz", { accept: [503] }),
    client.get("/stats"),
    client.list("/interruptions", { limit: "5" }),
    client.list("/checkpoints", { limit: "1" }),
  ]);
  return {
    version,
    ready,
    stats,
    interruptions: interruptions.items,
    checkpoint: checkpoints.items[0] ?? null,
  };
}

/** What `/readyz` says against being ready; empty when it is. A problem body carries `error`. */
function unready(ready: Json): string {
  return ready["error"] ? line(ready, "error") : "";
}

/** The protection facts, from whichever answer carries them. */
function protection(parts: Overview): { armed: boolean | null; workspaces: Json[] } {
  for (const part of [parts.ready, parts.stats, parts.version]) {
    const facts = object(part, "protection");
    if (typeof facts["armed"] !== "boolean") continue;
    return { armed: facts["armed"], workspaces: objects(facts, "workspaces") };
  }
  return { armed: null, workspaces: [] };
}

function checkpointLine(parts: Overview, nowMs: number): string {
  const { armed, workspaces } = protection(parts);
  const words: string[] = [];
  if (armed === true) words.push(`armed for ${count(workspaces.length, "workspace")}`);
  if (armed === false) words.push("not armed: start with --reactive --workspace DIR");
  const newest = parts.checkpoint;
  if (newest === null) words.push("none taken yet: observer checkpoint create --workspace DIR");
  else words.push(`newest ${ago(text(newest, "created_at"), nowMs)}, ${line(newest, "status")}`);
  return words.join("; ");
}

function describe(call: Call, parts: Overview): string {
  const paint = paintOf(call);
  const { columns: width, clock } = call.io;
  const now = clock.now();
  const { version, stats } = parts;
  const why = unready(parts.ready);
  const health = why === "" ? paint("green", "ready") : paint("red", `not ready: ${why}`);
  const allTime = object(stats, "all_time");
  const counts = stats["all_time"] ? allTime : stats;
  const uptime = number(version, "uptime_ms");
  let shown = renderFields(
    [
      ["observer", `${line(version, "version")} ${paint("dim", `(${line(version, "commit")})`)}`],
      ["health", health],
      [
        "up",
        uptime === null ? "" : ago(new Date(now - uptime).toISOString(), now).replace(" ago", ""),
      ],
      ["at", call.client().target],
      [
        "operations",
        `${compact(number(counts, "total") ?? 0)} seen, ${compact(number(counts, "failures") ?? 0)} failed`,
      ],
      ["checkpoints", checkpointLine(parts, now)],
    ],
    { width, paint },
  );
  for (const workspace of protection(parts).workspaces) {
    const backend =
      line(workspace, "backend") || paint("red", `unprotected: ${line(workspace, "reason")}`);
    shown += `  ${line(workspace, "path")}  ${backend}\n`;
  }
  if (parts.interruptions.length === 0)
    return `${shown}\nNo interruptions. To see one: observer demo\n`;
  const columns = interruptionColumns(now);
  return `${shown}\n${renderTable(parts.interruptions, { columns, width, paint })}`;
}

export const statusVerb: Verb = {
  name: "status",
  group: "Look",
  summary: "is it up, what went wrong last, are checkpoints armed",
  flags: [JSON_FLAG, ...CLIENT_FLAGS],
  examples: ["observer status", "observer status --json"],
  async run(call) {
    try {
      const parts = await overview(call.client());
      if (call.flags.on("json")) return printJson(call, parts);
      call.io.stdout(describe(call, parts));
      return 0;
    } catch (thrown) {
      // Up, but it does not know us: say both.
      if (thrown instanceof ApiError && (thrown.status === 401 || thrown.status === 403)) {
        call.io.stderr(`observer answers at ${call.client().target}, but not to this user\n`);
      }
      throw thrown;
    }
  },
};
