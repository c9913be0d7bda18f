// `observer agents`: the agents that live now, and the brakes on one of them.

import { printable } from "../../core/text.ts";
import { formatDuration, parseDuration } from "../../core/units.ts";
import type { Json } from "../client.ts";
import { CLIENT_FLAGS, JSON_FLAG } from "../flags.ts";
import { createListVerb, filters } from "../list-verb.ts";
import {
  bar,
  memoryText,
  shareColour,
  timeColour,
  timeToLimit,
  usedShare,
} from "../memory-text.ts";
import { printJson } from "../output.ts";
import { statusColour } from "../paint.ts";
import { ago, line, number, text } from "../show.ts";
import type { Column } from "../table.ts";
import type { Argument, Call, Flag, Verb } from "../verb.ts";

const BAR_CELLS = 8;

/** Columns of an agent; `top` has more room and adds to them. */
export function agentColumns(nowMs: number): Column<Json>[] {
  return [
    { title: "ID", value: (row) => text(row, "id") },
    { title: "KIND", value: (row) => text(row, "kind"), flexMin: 6 },
    {
      title: "STATE",
      value: (row) => text(row, "state"),
      colour: (row) => statusColour(row["state"]),
    },
    {
      title: "STARTED",
      value: (row) => ago(text(row, "started_at"), nowMs),
      optional: 3,
    },
    { title: "MEMORY", right: true, value: memoryText },
    {
      title: "",
      value: (row) => bar(usedShare(row), BAR_CELLS).trim(),
      colour: (row) => shareColour(usedShare(row)),
      optional: 2,
    },
    { title: "TO LIMIT", right: true, value: timeToLimit, colour: timeColour },
    { title: "SESSION", value: (row) => text(row, "session_id"), flexMin: 8, optional: 1 },
    { title: "DIRECTORY", value: (row) => text(row, "cwd"), flexMin: 10, optional: 4 },
  ];
}

export const agentsVerb = createListVerb(
  {
    name: "agents",
    summary: "agents that live now: state, memory, time to its limit",
    examples: ["observer agents", "observer agents --kind claude-code --json"],
  },
  {
    path: "/agents",
    filters: [
      { name: "kind", value: "KIND", field: "kind", help: "Only this kind of agent." },
      {
        name: "state",
        value: "STATE",
        field: "state",
        help: "Only in this state.",
        oneOf: ["running", "frozen", "paused", "stopped", "zombie"],
      },
      filters.session,
      filters.workspace,
    ],
    columns: ({ io }) => agentColumns(io.clock.now()),
    empty: "No agent lives here now. To start one that is watched: observer run -- CMD",
  },
);

const AGENT: Argument = { name: "AGENT", required: true };
const FLAGS: readonly Flag[] = [JSON_FLAG, ...CLIENT_FLAGS];
const NAMES =
  "AGENT is an id as `observer agents` shows it, or a pid, session, run or kind that only one agent has.";

function agentPath(name: string, rest = ""): string {
  return `/agents/${encodeURIComponent(name)}${rest}`;
}

function checkDuration(value: string): string | null {
  return parseDuration(value) === null ? "must be a duration such as 30m or 2h" : null;
}

export const pauseVerb: Verb = {
  name: "pause",
  group: "Run",
  summary: "stop an agent with all it started, for a time",
  about: `It goes on by itself when the time is over, or with \`observer resume\`. ${NAMES}`,
  args: [AGENT],
  flags: [
    {
      name: "for",
      value: "TIME",
      help: "How long, 1s to 24h (default: the setting agents.pause_ms, 30m).",
      check: checkDuration,
    },
    ...FLAGS,
  ],
  examples: ["observer pause 4321-77", "observer pause claude-code --for 2h"],
  async run(call) {
    const path = agentPath(call.args[0] ?? "", "/pause");
    const time = call.flags.text("for");
    const lease = await call.client().post(path, {
      body: time === undefined ? {} : { for: time },
      patient: true,
    });
    if (call.flags.on("json")) return printJson(call, lease);
    const id = line(lease, "agent_id");
    call.io.stdout(`${id} is paused until ${line(lease, "until")} (${line(lease, "method")})\n`);
    call.io.stderr(`to let it go on: observer resume ${id}\n`);
    return 0;
  },
};

export const resumeVerb: Verb = {
  name: "resume",
  group: "Run",
  summary: "let a paused agent go on",
  about: NAMES,
  args: [AGENT],
  flags: FLAGS,
  examples: ["observer resume 4321-77"],
  async run(call) {
    const path = agentPath(call.args[0] ?? "", "/resume");
    const agent = await call.client().post(path, { patient: true });
    if (call.flags.on("json")) return printJson(call, agent);
    call.io.stdout(`${line(agent, "id")} is ${line(agent, "state")}\n`);
    return 0;
  },
};

export const killVerb: Verb = {
  name: "kill",
  group: "Run",
  summary: "end an agent with all it started",
  about: `SIGTERM, then SIGKILL after the grace, then proof that all are gone. ${NAMES}`,
  args: [AGENT],
  flags: [
    {
      name: "grace",
      value: "TIME",
      help: "Time to save its work, up to 5m (default 5s).",
      check: checkDuration,
    },
    { name: "yes", help: "Do not ask. Nobody is asked without a terminal." },
    ...FLAGS,
  ],
  examples: ["observer kill 4321-77", "observer kill 4321 --grace 30s --yes"],
  run: kill,
};

async function kill(call: Call): Promise<number> {
  const { io, flags } = call;
  // The very process that was shown is the one that is ended: its id has its start time.
  const agent = await call.client().get(agentPath(call.args[0] ?? ""));
  const id = text(agent, "id");
  const shown = `${line(agent, "kind")} ${printable(id)} in ${line(agent, "cwd") || "?"}`;
  if (io.isTty && !flags.on("yes")) {
    const answer = await io.ask(`End ${shown} and all it started? [y/N] `);
    if (!/^y(es)?$/i.test(answer.trim())) {
      io.stderr("nothing was done\n");
      return 1;
    }
  }
  const grace = flags.text("grace");
  const body = grace === undefined ? {} : { grace_ms: Math.round(parseDuration(grace) ?? 0) };
  const report = await call.client().post(agentPath(id, "/kill"), { body, patient: true });
  if (flags.on("json")) return printJson(call, report);
  const pids = Array.isArray(report["pids"]) ? report["pids"].length : 0;
  const forced = Array.isArray(report["killed"]) ? report["killed"].length : 0;
  io.stdout(
    `${printable(id)} is gone: ${pids === 1 ? "1 process" : `${pids} processes`} in ` +
      `${formatDuration(number(report, "duration_ms") ?? 0)}, ${forced} by SIGKILL\n`,
  );
  return 0;
}
