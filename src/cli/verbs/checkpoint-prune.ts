// `observer checkpoint prune`: removes what retention no longer keeps.

import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import type { Json } from "../client.ts";
import { CLIENT_FLAGS, JSON_FLAG } from "../flags.ts";
import { paintOf, printJson } from "../output.ts";
import { count, line, number, objects, size, text } from "../show.ts";
import { renderTable } from "../table.ts";
import type { Call, Verb } from "../verb.ts";

/** What the daemon calls a reason, for people. */
const REASONS: Record<string, string> = {
  failed: "failed long ago",
  age: "too old",
  safety_age: "safety copy, too old",
  thinned: "another one stands for its hour, day or week",
  count: "too many of this workspace",
  store_size: "the store is too large",
  free_space: "free space is short",
};

export const pruneVerb: Verb = {
  name: "checkpoint prune",
  group: "Save and restore",
  summary: "remove what retention no longer keeps",
  about:
    "observer does this by itself every ten minutes; the rules are checkpoints.keep_* in its configuration. Pinned checkpoints and the newest usable one of each workspace always stay.",
  flags: [
    { name: "workspace", value: "DIR", help: "Only checkpoints of this workspace." },
    { name: "dry-run", help: "Say what would be removed, and remove nothing." },
    JSON_FLAG,
    ...CLIENT_FLAGS,
  ],
  examples: ["observer checkpoint prune --dry-run", "observer checkpoint prune --workspace ~/app"],
  async run(call) {
    const given = call.flags.text("workspace");
    const body = {
      dry_run: call.flags.on("dry-run"),
      ...(given !== undefined && { workspace: realPath(resolve(call.io.cwd, given)) }),
    };
    const result = await call.client().post("/checkpoints/prune", { body, patient: true });
    const failed = objects(result, "failed");
    if (call.flags.on("json")) printJson(call, result);
    else print(call, result);
    return failed.length > 0 ? 1 : 0;
  },
};

/** Checkpoints are listed under the real path of their workspace. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function print(call: Call, result: Json): void {
  const items = objects(result, "items");
  if (items.length > 0)
    call.io.stdout(
      renderTable(items, {
        columns: [
          { title: "ID", value: (row) => text(row, "id") },
          { title: "HOLDS", right: true, value: (row) => size(number(row, "bytes")) },
          { title: "WORKSPACE", value: (row) => text(row, "workspace"), flexMin: 12 },
          { title: "WHY", value: (row) => REASONS[text(row, "reason")] ?? text(row, "reason") },
        ],
        width: call.io.columns,
        paint: paintOf(call),
      }),
    );
  for (const failure of objects(result, "failed"))
    call.io.stderr(`not removed: ${line(failure, "id")}: ${line(failure, "error")}\n`);
  const done = result["dry_run"] === true ? "would be removed" : "removed";
  const freed = number(result, "freed_bytes") ?? 0;
  call.io.stderr(
    `${count(items.length, "checkpoint")} ${done}${freed > 0 ? `, ${size(freed)} freed` : ""}\n`,
  );
}
