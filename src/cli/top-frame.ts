// One frame of `observer top`: pure, from what the daemon answered to lines of text.

import { printable } from "../core/text.ts";
import type { Json } from "./client.ts";
import type { ScreenSize } from "./local.ts";
import { bar, memoryText, shareColour, timeColour, timeToLimit, usedShare } from "./memory-text.ts";
import { type Paint, severityColour, statusColour } from "./paint.ts";
import { ago, cost, number, object, size, text } from "./show.ts";
import { type Column, fit, renderTable } from "./table.ts";

export interface TopData {
  agents: Json[];
  /** The body of `/vram`. */
  host: Json;
  /** Newest first. */
  interruptions: Json[];
  /** Sessions of the agents, by id. */
  sessions: Record<string, Json>;
}

/** What is shown, or what keeps it from being shown. */
export type TopState = { data: TopData } | { trouble: string; data: TopData | null };

const BAR_CELLS = 12;
/** Lines of recent trouble. */
const INTERRUPTIONS_SHOWN = 5;
/** Heading lines, blank lines and table headings around the agents. */
const LINES_AROUND = 8;

interface FrameOptions {
  size: ScreenSize;
  paint: Paint;
  nowMs: number;
}

/** At most `size.rows` lines, none wider than `size.columns`, with a trailing newline. */
export function topFrame(state: TopState, options: FrameOptions): string {
  const { data } = state;
  const lines = data ? describe(data, options) : [];
  if ("trouble" in state) {
    const told = fit(printable(state.trouble), options.size.columns);
    lines.unshift(options.paint("red", told));
  }
  // The last line of a screen stays empty: a newline there would scroll.
  return `${lines.slice(0, Math.max(1, options.size.rows - 1)).join("\n")}\n`;
}

function describe(data: TopData, options: FrameOptions): string[] {
  const { size: screen, paint, nowMs } = options;
  const width = screen.columns;
  const trouble = data.interruptions.slice(0, INTERRUPTIONS_SHOWN);
  const room = Math.max(1, screen.rows - LINES_AROUND - trouble.length);
  const lines = [...hostLines(data, options), ""];
  if (data.agents.length === 0) lines.push("No agent lives here now.");
  else {
    const columns = agentColumns(data, nowMs);
    lines.push(...table(data.agents.slice(0, room), { columns, width, paint }));
    const more = data.agents.length - room;
    if (more > 0) lines.push(paint("dim", `and ${more} more: observer agents`));
  }
  lines.push("");
  if (trouble.length === 0) lines.push(paint("dim", "No interruptions."));
  else lines.push(...table(trouble, { columns: troubleColumns(nowMs), width, paint }));
  return lines;
}

function table(
  rows: readonly Json[],
  options: { columns: readonly Column<Json>[]; width: number; paint: Paint },
): string[] {
  return renderTable(rows, options).trimEnd().split("\n");
}

function hostLines(
  { agents, host }: TopData,
  { size: screen, paint, nowMs }: FrameOptions,
): string[] {
  const at = new Date(nowMs).toISOString().slice(11, 19);
  const head = `observer  ${text(host, "host")}  ${agents.length} agents  ${at} UTC`;
  const memory = object(host, "memory");
  const total = number(memory, "total_bytes");
  const available = number(memory, "available_bytes");
  const used = total === null || available === null ? null : total - available;
  const share = used === null || total === null ? null : used / total;
  const shown = used === null ? "unknown" : `${size(used)}/${size(total)}`;
  const colour = shareColour(share);
  const blocks = bar(share, BAR_CELLS);
  const pressure = object(host, "pressure");
  const waiting = ["memory", "cpu", "io"].map((what) => {
    const some = number(object(pressure, what), "some_avg10");
    return `${what} ${some === null ? "–" : `${some.toFixed(1)} %`}`;
  });
  // Colour codes have no width, so each part is cut before it is coloured.
  const rest = fit(`${shown}  waiting: ${waiting.join("  ")}`, screen.columns - BAR_CELLS - 8);
  return [
    paint("bold", fit(printable(head), screen.columns)),
    `memory ${colour ? paint(colour, blocks) : blocks} ${rest}`,
  ];
}

function agentColumns({ sessions }: TopData, nowMs: number): Column<Json>[] {
  const session = (row: Json): Json => sessions[text(row, "session_id")] ?? {};
  return [
    { title: "AGENT", value: (row) => text(row, "id") },
    { title: "KIND", value: (row) => text(row, "kind"), flexMin: 6 },
    {
      title: "STATE",
      value: (row) => text(row, "state"),
      colour: (row) => statusColour(row["state"]),
    },
    {
      title: "UP",
      value: (row) => ago(text(row, "started_at"), nowMs).replace(" ago", ""),
      optional: 4,
    },
    { title: "MEMORY", right: true, value: memoryText },
    {
      title: "",
      value: (row) => bar(usedShare(row), BAR_CELLS).trim(),
      colour: (row) => shareColour(usedShare(row)),
      optional: 3,
    },
    { title: "TO LIMIT", right: true, value: timeToLimit, colour: timeColour },
    { title: "ERRORS", right: true, value: (row) => text(session(row), "errors"), optional: 2 },
    {
      title: "COST",
      right: true,
      value: (row) => (sessions[text(row, "session_id")] ? cost(session(row)) : ""),
      optional: 1,
    },
    { title: "DIRECTORY", value: (row) => text(row, "cwd"), flexMin: 10, optional: 5 },
  ];
}

function troubleColumns(nowMs: number): Column<Json>[] {
  return [
    {
      title: "SEVERITY",
      value: (row) => text(row, "severity"),
      colour: (row) => severityColour(row["severity"]),
    },
    { title: "TYPE", value: (row) => text(row, "type") },
    { title: "LAST", value: (row) => ago(text(row, "last_time") || text(row, "time"), nowMs) },
    { title: "×", right: true, value: (row) => text(row, "count"), optional: 1 },
    { title: "SUMMARY", value: (row) => text(row, "summary"), flexMin: 10 },
  ];
}
