// Checkpoints and differences as text.

import { printable } from "../core/text.ts";
import type { Json } from "./client.ts";
import { paintOf } from "./output.ts";
import { statusColour, type Colour } from "./paint.ts";
import { ago, count, duration, line, number, objects, size, text } from "./show.ts";
import { renderFields, renderTable } from "./table.ts";
import type { Call } from "./verb.ts";

/** Skipped paths that are printed; the rest is counted. */
const SKIPPED_SHOWN = 10;
/** Changes that are printed to a person; `--json` has all. */
const CHANGES_SHOWN = 200;

const CHANGE_MARKS: Record<string, { mark: string; colour: Colour }> = {
  added: { mark: "+", colour: "green" },
  modified: { mark: "~", colour: "yellow" },
  deleted: { mark: "-", colour: "red" },
  renamed: { mark: ">", colour: "cyan" },
};

/** The changes in the answer of `diff` and `restore`, a page or a list under its own name. */
export function changesOf(body: Json): Json[] {
  return Array.isArray(body["items"]) ? objects(body, "items") : objects(body, "changes");
}

/** "3 added, 1 modified". */
export function changeCounts(changes: readonly Json[]): string {
  return Object.keys(CHANGE_MARKS)
    .map((kind) => [kind, changes.filter((change) => change["change"] === kind).length] as const)
    .filter(([, many]) => many > 0)
    .map(([kind, many]) => `${many} ${kind}`)
    .join(", ");
}

function sizes(change: Json): string {
  const before = number(change, "size_before");
  const after = number(change, "size_after");
  if (before !== null && after !== null && before !== after)
    return `${size(before)} → ${size(after)}`;
  return size(after ?? before);
}

/** One line for each change, and a line that sums them up. */
export function changeTable(call: Pick<Call, "io">, changes: readonly Json[]): string {
  const paint = paintOf(call);
  const markOf = (change: Json) => CHANGE_MARKS[text(change, "change")];
  const from = (change: Json): string => (change["from"] ? `${text(change, "from")} → ` : "");
  const table = renderTable(changes.slice(0, CHANGES_SHOWN), {
    columns: [
      {
        title: "",
        value: (change) => markOf(change)?.mark ?? "?",
        colour: (change) => markOf(change)?.colour ?? null,
      },
      { title: "PATH", value: (change) => `${from(change)}${text(change, "path")}`, flexMin: 20 },
      {
        title: "WHAT",
        value: (change) => (Array.isArray(change["what"]) ? change["what"].join(" ") : ""),
        optional: 1,
      },
      { title: "SIZE", right: true, value: sizes },
    ],
    width: call.io.columns,
    paint,
  });
  const hidden = changes.length - CHANGES_SHOWN;
  const rest = hidden > 0 ? `and ${hidden} more (--json shows all)\n` : "";
  return `${table}${rest}${count(changes.length, "change")}: ${changeCounts(changes)}\n`;
}

const REASONS: Record<string, string> = {
  binary: "is binary or not UTF-8",
  not_a_file: "is not a file",
  too_different: "has too little in common to be shown line by line",
  too_large: "is too large to be shown line by line",
};
const LINE_COLOURS: Record<string, Colour> = { "+": "green", "-": "red", "@": "cyan" };

/** A unified diff, or why there is none. Tabs stay; nothing else that a terminal acts upon does. */
export function textDiff(call: Pick<Call, "io">, body: Json): string {
  const paint = paintOf(call);
  const { text: diff } = body;
  if (typeof diff !== "string") {
    const reason = String(body["reason"]);
    return `${line(body, "path")} ${REASONS[reason] ?? printable(reason)}: ${sizes(body)}\n`;
  }
  return diff
    .replace(/\n$/, "")
    .split("\n")
    .map((shown) => {
      const colour = LINE_COLOURS[shown[0] ?? ""];
      const safe = shown.split("\t").map(printable).join("\t");
      return `${colour ? paint(colour, safe) : safe}\n`;
    })
    .join("");
}

/** One checkpoint in full. */
export function describeCheckpoint(call: Pick<Call, "io">, row: Json): string {
  const paint = paintOf(call);
  const { columns: width, clock } = call.io;
  const status = line(row, "status");
  const created = text(row, "created_at");
  const bytes = number(row, "bytes");
  const files = number(row, "files");
  const listed = objects(row, "skipped");
  // What is left out on purpose is listed by the daemon too, and does not make a checkpoint partial.
  const skipped = listed.filter((path) => path["listed_only"] !== true);
  const colour = statusColour(status);
  let shown = `${paint("bold", line(row, "id"))}  ${colour ? paint(colour, status) : status}\n`;
  shown += renderFields(
    [
      ["workspace", line(row, "workspace")],
      ["taken", created ? `${created} (${ago(created, clock.now())})` : ""],
      ["kind", [...new Set([line(row, "kind"), line(row, "reason")])].filter(Boolean).join(", ")],
      ["label", line(row, "label")],
      ["holds", files === null ? "" : `${count(files, "file")}, ${size(bytes)}`],
      ["verified", row["verified"] ? "yes, read back" : "no"],
      ["pinned", row["pinned"] ? "yes" : ""],
      ["took", duration(number(row, "duration_ms"))],
      ["backend", line(row, "backend")],
      ["parent", line(row, "parent_id")],
      ["interruption", line(row, "interruption_id")],
      ["session", line(row, "session_id")],
      ["error", line(row, "error")],
      [
        "left out",
        listed.length > skipped.length
          ? `${listed.length - skipped.length} by rule (--json names them)`
          : "",
      ],
    ],
    { width, paint, indent: "  " },
  );
  for (const path of skipped.slice(0, SKIPPED_SHOWN)) {
    shown += `  ${paint("yellow", "skipped")} ${line(path, "path")}: ${line(path, "reason")}\n`;
  }
  if (skipped.length > SKIPPED_SHOWN)
    shown += `  and ${skipped.length - SKIPPED_SHOWN} more skipped\n`;
  for (const warning of Array.isArray(row["warnings"]) ? row["warnings"] : []) {
    shown += `  ${paint("yellow", "warning")} ${line({ warning }, "warning")}\n`;
  }
  return shown;
}
