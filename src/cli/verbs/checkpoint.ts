// `observer checkpoint create|list|show|diff|pin|delete`: saved states of workspaces.

import { resolve } from "node:path";
import { CHECKPOINT_KINDS, CHECKPOINT_STATUSES } from "../../core/checkpoint.ts";
import { ID_PATTERN } from "../../core/ids.ts";
import { printable } from "../../core/text.ts";
import { changesOf, changeTable, describeCheckpoint, textDiff } from "../checkpoint-text.ts";
import { ApiError } from "../client.ts";
import { CLIENT_FLAGS, JSON_FLAG } from "../flags.ts";
import { checkpointId, checkpointPath, ID_ARGUMENT } from "../ids.ts";
import { createListVerb, filters } from "../list-verb.ts";
import { printJson } from "../output.ts";
import { statusColour } from "../paint.ts";
import { ago, line, number, size, text } from "../show.ts";
import { UsageError } from "../usage.ts";
import type { Call, Flag, Verb } from "../verb.ts";
import { pruneVerb } from "./checkpoint-prune.ts";
import { verifyVerb } from "./checkpoint-verify.ts";

const GROUP = "Save and restore";
const FLAGS: readonly Flag[] = [JSON_FLAG, ...CLIENT_FLAGS];

const create: Verb = {
  name: "checkpoint create",
  group: GROUP,
  summary: "save a workspace now",
  flags: [
    { name: "workspace", value: "DIR", help: "What to save (default: the working directory)." },
    { name: "label", value: "TEXT", help: "A name to find it by." },
    ...FLAGS,
  ],
  examples: ["observer checkpoint create --workspace ~/app --label before-refactoring"],
  async run(call) {
    const workspace = resolve(call.io.cwd, call.flags.text("workspace") ?? ".");
    const label = call.flags.text("label");
    if (call.io.isTty) call.io.stderr(`saving ${printable(workspace)} …\n`);
    const body = { workspace, ...(label === undefined ? {} : { label }) };
    const row = await call.client().post("/checkpoints", { body, patient: true });
    return printCheckpoint(call, row);
  },
};

/** Prints one checkpoint; a failed one is a failure of the verb. */
function printCheckpoint(call: Call, row: Record<string, unknown>): number {
  if (call.flags.on("json")) printJson(call, row);
  else call.io.stdout(describeCheckpoint(call, row));
  return row["status"] === "failed" ? 1 : 0;
}

const list: Verb = {
  ...createListVerb(
    {
      name: "checkpoint list",
      summary: "saved states, newest first",
      examples: ["observer checkpoint list --workspace ~/app"],
    },
    {
      path: "/checkpoints",
      filters: [
        filters.workspace,
        filters.session,
        {
          name: "kind",
          value: "KIND",
          field: "kind",
          help: "Only this kind.",
          oneOf: CHECKPOINT_KINDS,
        },
        {
          name: "status",
          value: "STATUS",
          field: "status",
          help: "Only this status.",
          oneOf: CHECKPOINT_STATUSES,
        },
      ],
      columns: ({ io }) => [
        { title: "ID", value: (row) => text(row, "id") },
        { title: "TAKEN", value: (row) => ago(text(row, "created_at"), io.clock.now()) },
        { title: "KIND", value: (row) => text(row, "kind"), optional: 1 },
        {
          title: "STATUS",
          value: (row) =>
            `${text(row, "status")}${row["verified"] && row["status"] !== "deleted" ? " ✓" : ""}`,
          colour: (row) => statusColour(row["status"]),
        },
        { title: "FILES", right: true, value: (row) => text(row, "files"), optional: 3 },
        { title: "SIZE", right: true, value: (row) => size(number(row, "bytes")), optional: 2 },
        { title: "PIN", value: (row) => (row["pinned"] ? "pin" : ""), optional: 4 },
        { title: "WORKSPACE", value: (row) => text(row, "workspace"), flexMin: 12 },
        { title: "REASON", value: (row) => text(row, "label") || text(row, "reason"), flexMin: 10 },
      ],
      empty: "No checkpoints. Take one: observer checkpoint create --workspace DIR",
    },
  ),
  group: GROUP,
};

const show: Verb = {
  name: "checkpoint show",
  group: GROUP,
  summary: "one checkpoint: what is in it, what is not, and why",
  args: [ID_ARGUMENT],
  flags: FLAGS,
  examples: ["observer checkpoint show latest"],
  async run(call) {
    const id = await checkpointId(call, call.args[0] ?? "");
    const row = await call.client().get(checkpointPath(id));
    if (call.flags.on("json")) return printJson(call, row);
    call.io.stdout(describeCheckpoint(call, row));
    return 0;
  },
};

/** The second id and the path of `diff ID [ID2] [PATH]`: one word alone may be either. */
async function diffTarget(call: Call): Promise<{ to?: string; path?: string }> {
  const [, first, second] = call.args;
  if (first === undefined) return {};
  if (second !== undefined) {
    if (!ID_PATTERN.test(first)) {
      throw new UsageError([
        { field: "ID2", value: first, rule: ID_ARGUMENT.check?.(first) ?? "" },
      ]);
    }
    return { to: await checkpointId(call, first), path: second };
  }
  const id = ID_PATTERN.test(first) ? await knownId(call, first) : null;
  return id === null ? { path: first } : { to: id };
}

async function knownId(call: Call, word: string): Promise<string | null> {
  try {
    const id = await checkpointId(call, word);
    await call.client().get(checkpointPath(id));
    return id;
  } catch (thrown) {
    if (thrown instanceof ApiError && thrown.status === 404) return null;
    throw thrown;
  }
}

const diff: Verb = {
  name: "checkpoint diff",
  group: GROUP,
  summary: "what changed since, or between two checkpoints",
  about: "With one ID: against the workspace as it is now. PATH is relative to the workspace.",
  args: [ID_ARGUMENT, { name: "ID2" }, { name: "PATH" }],
  flags: [{ name: "text", help: "What changed inside the file at PATH, line by line." }, ...FLAGS],
  examples: [
    "observer checkpoint diff latest",
    "observer checkpoint diff k3v9 m7qa src/app.ts",
    "observer checkpoint diff latest src/app.ts --text",
  ],
  async run(call) {
    const id = await checkpointId(call, call.args[0] ?? "");
    const target = await diffTarget(call);
    if (call.flags.on("text")) return await printText(call, id, target);
    const body = await call
      .client()
      .get(checkpointPath(id, "/diff"), { query: target, patient: true });
    if (call.flags.on("json")) return printJson(call, body);
    const changes = changesOf(body);
    if (changes.length === 0) call.io.stderr("no changes\n");
    else call.io.stdout(changeTable(call, changes));
    return 0;
  },
};

async function printText(
  call: Call,
  id: string,
  target: { to?: string; path?: string },
): Promise<number> {
  if (target.path === undefined)
    throw new UsageError([{ field: "PATH", rule: "is needed with --text" }]);
  const query = { ...target, text: "1" };
  const body = await call.client().get(checkpointPath(id, "/diff"), { query, patient: true });
  if (call.flags.on("json")) return printJson(call, body);
  if (body["text"] === "") call.io.stderr("no changes in the content\n");
  else call.io.stdout(textDiff(call, body));
  return 0;
}

const pin: Verb = {
  name: "checkpoint pin",
  group: GROUP,
  summary: "keep a checkpoint from being pruned",
  args: [ID_ARGUMENT],
  flags: [{ name: "off", help: "Let it be pruned again." }, ...FLAGS],
  examples: ["observer checkpoint pin k3v9", "observer checkpoint pin k3v9 --off"],
  async run(call) {
    const id = await checkpointId(call, call.args[0] ?? "");
    const body = { pinned: !call.flags.on("off") };
    return printCheckpoint(call, await call.client().post(checkpointPath(id, "/pin"), { body }));
  },
};

const remove: Verb = {
  name: "checkpoint delete",
  group: GROUP,
  summary: "delete a checkpoint; its content cannot be brought back",
  args: [ID_ARGUMENT],
  flags: FLAGS,
  examples: ["observer checkpoint delete k3v9"],
  check: ({ args }) =>
    args[0] === "latest"
      ? [
          {
            field: "ID",
            value: "latest",
            rule: "is not taken by delete: it may be another one by then",
          },
        ]
      : [],
  async run(call) {
    const given = call.args[0] ?? "";
    const row = await call.client().delete(checkpointPath(given));
    if (call.flags.on("json")) return printJson(call, row);
    call.io.stderr(`deleted ${line(row, "id") || given}\n`);
    return 0;
  },
};

export const checkpointVerbs: readonly Verb[] = [
  create,
  list,
  show,
  diff,
  pin,
  remove,
  pruneVerb,
  verifyVerb,
];
