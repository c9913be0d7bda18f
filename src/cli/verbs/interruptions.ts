// `observer interruptions`: the trouble that was recognised; one of them in full; settling it.

import { SEVERITIES } from "../../core/interruption.ts";
import { printable } from "../../core/text.ts";
import type { Json, Page } from "../client.ts";
import { ID_ARGUMENT } from "../ids.ts";
import {
  filters,
  listFlags,
  listQuery,
  printPage,
  type FilterFlag,
  type ListSpec,
} from "../list-verb.ts";
import { paintOf, printJson } from "../output.ts";
import { severityColour, statusColour } from "../paint.ts";
import { ago, line, number, object, text } from "../show.ts";
import { renderFields, type Column } from "../table.ts";
import type { Call, Verb } from "../verb.ts";

const FILTERS: readonly FilterFlag[] = [
  { name: "type", value: "TYPE", field: "type", help: "Only this type, e.g. dead_loop." },
  {
    name: "severity",
    value: "LEVEL",
    field: "severity",
    help: "Only this severity.",
    oneOf: SEVERITIES,
  },
  filters.session,
  filters.agent,
  filters.workspace,
];

/** Columns of an interruption; also used by `status` and `replay`. */
export function interruptionColumns(nowMs: number): Column<Json>[] {
  return [
    {
      title: "SEVERITY",
      value: (row) => text(row, "severity"),
      colour: (row) => severityColour(row["severity"]),
    },
    { title: "TYPE", value: (row) => text(row, "type") },
    { title: "LAST", value: (row) => ago(text(row, "last_time") || text(row, "time"), nowMs) },
    { title: "×", right: true, value: (row) => text(row, "count") },
    { title: "ID", value: (row) => text(row, "id") },
    {
      title: "STATE",
      value: (row) => (row["resolved_at"] ? "resolved" : "open"),
      colour: (row) => (row["resolved_at"] ? "dim" : null),
      optional: 2,
    },
    { title: "SESSION", value: (row) => text(row, "session_id"), flexMin: 8, optional: 3 },
    { title: "SUMMARY", value: (row) => text(row, "summary"), flexMin: 20 },
  ];
}

const SPEC: ListSpec = {
  path: "/interruptions",
  filters: FILTERS,
  columns: ({ io }) => interruptionColumns(io.clock.now()),
  empty: "No interruptions. That is good news; to see one: observer demo",
};

/** Pages read while looking for open ones before giving the rest up. */
const OPEN_PAGES_MAX = 10;

/** A page of open ones only: the API's filters are equalities, and "not resolved" is none. */
async function openOnly(call: Call): Promise<Page> {
  const query = listQuery(call, FILTERS);
  const wanted = Number(query["limit"]);
  const items: Json[] = [];
  let cursor: string | null = query["cursor"] ?? null;
  for (let page = 0; page < OPEN_PAGES_MAX; page += 1) {
    const got = await call.client().list(SPEC.path, { ...query, cursor: cursor ?? undefined });
    items.push(...got.items.filter((item) => !item["resolved_at"]));
    cursor = got.next_cursor;
    if (cursor === null || items.length >= wanted) break;
  }
  return { items, next_cursor: cursor };
}

export const interruptionsVerb: Verb = {
  name: "interruptions",
  group: "Look",
  summary: "trouble that was recognised; with an ID, one of them in full",
  args: [{ ...ID_ARGUMENT, required: false }],
  flags: [
    { name: "open", help: "Only those that are not resolved." },
    { name: "resolve", help: "Mark the interruption ID as settled." },
    ...listFlags(FILTERS),
  ],
  examples: [
    "observer interruptions --severity critical --since 1d",
    "observer interruptions k3v9 --resolve",
  ],
  check: ({ flags, args }) =>
    flags.on("resolve") && args.length === 0
      ? [{ field: "ID", rule: "is missing: which interruption is settled?" }]
      : [],
  async run(call) {
    const [id] = call.args;
    if (id !== undefined) return await showOne(call, id);
    if (call.flags.on("open")) return printPage(call, await openOnly(call), SPEC);
    return printPage(call, await call.client().list(SPEC.path, listQuery(call, FILTERS)), SPEC);
  },
};

async function showOne(call: Call, id: string): Promise<number> {
  const client = call.client();
  const path = `/interruptions/${encodeURIComponent(id)}`;
  const resolve = call.flags.on("resolve");
  const row = resolve ? await client.post(`${path}/resolve`) : await client.get(path);
  if (call.flags.on("json")) return printJson(call, row);
  const query = { interruption_id: text(row, "id"), limit: "20" };
  const [reactions, checkpoints] = await Promise.all([
    client.list("/reactions", query),
    client.list("/checkpoints", query),
  ]);
  call.io.stdout(
    describe(call, row, { reactions: reactions.items, checkpoints: checkpoints.items }),
  );
  if (resolve) call.io.stderr(`resolved ${line(row, "id")}\n`);
  return 0;
}

function describe(
  call: Call,
  row: Json,
  linked: { reactions: Json[]; checkpoints: Json[] },
): string {
  const paint = paintOf(call);
  const now = call.io.clock.now();
  const severity = paint(severityColour(row["severity"]), line(row, "severity"));
  let shown = `${severity} ${paint("bold", line(row, "type"))}  ${line(row, "summary")}\n`;
  const when = (field: string): string => {
    const at = text(row, field);
    return at ? `${at} (${ago(at, now)})` : "";
  };
  const evidence = Array.isArray(row["evidence"]) ? row["evidence"].map(String) : [];
  const fields: [string, string][] = [
    ["id", line(row, "id")],
    ["first", when("first_time")],
    ["last", when("last_time")],
    ["count", line(row, "count")],
    ["detected in", number(row, "detected_ms") === null ? "" : `${line(row, "detected_ms")} ms`],
    ["session", line(row, "session_id")],
    ["agent", line(row, "agent")],
    ["workspace", line(row, "workspace")],
    ["resolved", when("resolved_at") || "no"],
  ];
  for (const [name, value] of Object.entries(object(row, "detail"))) {
    fields.push([
      `detail.${printable(name)}`,
      printable(typeof value === "string" ? value : JSON.stringify(value)),
    ]);
  }
  fields.push(["evidence", printable(evidence.join(" "))]);
  shown += renderFields(fields, { width: call.io.columns, paint, indent: "  " });
  for (const reaction of linked.reactions) {
    const status = line(reaction, "status");
    const colour = statusColour(status);
    shown += `  ${line(reaction, "kind")} ${colour ? paint(colour, status) : status}  ${line(reaction, "reason")}\n`;
  }
  for (const checkpoint of linked.checkpoints) {
    shown += `  to go back: observer checkpoint restore ${line(checkpoint, "id")}\n`;
  }
  return shown;
}
