// `observer checkpoint verify`: reads saved states back, one or all.

import { printable } from "../../core/text.ts";
import { ApiError } from "../client.ts";
import { CLIENT_FLAGS, JSON_FLAG } from "../flags.ts";
import { checkpointId, checkpointPath, ID_ARGUMENT } from "../ids.ts";
import { paintOf, printJson } from "../output.ts";
import { count, line, number, size, text } from "../show.ts";
import type { Call, Verb } from "../verb.ts";

type Result = Record<string, unknown>;

/** Refused because it is not there any more: it was deleted since it was listed. */
const GONE = new Set([404, 409]);

export const verifyVerb: Verb = {
  name: "checkpoint verify",
  group: "Save and restore",
  summary: "read everything back and compare it",
  args: [{ ...ID_ARGUMENT, required: false }],
  flags: [
    { name: "all", help: "Every checkpoint that holds content." },
    JSON_FLAG,
    ...CLIENT_FLAGS,
  ],
  examples: ["observer checkpoint verify latest", "observer checkpoint verify --all"],
  check: ({ flags, args }) =>
    flags.on("all") === args.length > 0 ? [{ field: "ID", rule: "give one ID, or --all" }] : [],
  async run(call) {
    const all = call.flags.on("all");
    const json = call.flags.on("json");
    const results: Result[] = [];
    for (const id of await idsToVerify(call)) {
      if (call.io.isTty) call.io.stderr(`reading ${id} …\n`);
      const result = all ? await verdictOf(call, id) : await ask(call, id);
      if (!result) continue;
      results.push(result);
      // As they come: reading all of them may take long.
      if (!json) printVerdict(call, result);
    }
    if (json) printJson(call, all ? { items: results } : results[0]);
    return results.every((result) => result["ok"] === true) ? 0 : 1;
  },
};

async function ask(call: Call, id: string): Promise<Result> {
  return await call.client().post(checkpointPath(id, "/verify"), { patient: true });
}

/** One that cannot be read back must not keep the others from being looked at. */
async function verdictOf(call: Call, id: string): Promise<Result | null> {
  try {
    return await ask(call, id);
  } catch (thrown) {
    if (!(thrown instanceof ApiError)) throw thrown;
    if (GONE.has(thrown.status)) return null;
    return { id, ok: false, files_checked: 0, bytes_checked: 0, problems: [thrown.message] };
  }
}

async function idsToVerify(call: Call): Promise<string[]> {
  const [id] = call.args;
  const client = call.client();
  if (id !== undefined) return [await checkpointId(call, id)];
  const ids: string[] = [];
  let cursor: string | null = null;
  do {
    const page = await client.list("/checkpoints", { limit: "1000", cursor: cursor ?? undefined });
    for (const row of page.items) {
      if (row["status"] === "ok" || row["status"] === "partial") ids.push(text(row, "id"));
    }
    cursor = page.next_cursor;
  } while (cursor !== null);
  return ids;
}

function printVerdict(call: Call, result: Result): void {
  const paint = paintOf(call);
  const verdict = result["ok"] === true ? paint("green", "intact") : paint("red", "damaged");
  const read = `${count(number(result, "files_checked") ?? 0, "file")}, ${size(number(result, "bytes_checked"))}`;
  call.io.stdout(`${line(result, "id")}  ${verdict}  ${read}\n`);
  for (const problem of Array.isArray(result["problems"]) ? result["problems"] : []) {
    call.io.stdout(`  ${printable(String(problem))}\n`);
  }
}
