// Live agents: listed, shown, and braked by hand.

import { type Static, Type } from "@sinclair/typebox";
import type { KillReport, PauseLease } from "../../core/agent.ts";
import { ObserverError } from "../../core/errors.ts";
import { isoTime } from "../../core/text.ts";
import { formatDuration, parseDuration } from "../../core/units.ts";
import type { FieldType } from "../../store/list-rows.ts";
import { resolveAgent } from "../agent-id.ts";
import { agentView } from "../agent-view.ts";
import { readCommand } from "../command-body.ts";
import type { ApiDeps } from "../deps.ts";
import { knownParameters, parseListQuery } from "../list-query.ts";
import { listLive } from "../live-list.ts";
import { HttpError } from "../problem.ts";
import { type Call, json, type Route } from "../route.ts";

/** Shorter, it would be over before the answer came. */
const PAUSE_MIN_MS = 1_000;
/** Longer than any person watches; pausing again renews the lease. */
const PAUSE_MAX_MS = 24 * 3_600_000;
const GRACE_MAX_MS = 5 * 60_000;

const strict = { additionalProperties: false };
const PauseBody = Type.Object(
  {
    for: Type.Optional(Type.String({ maxLength: 20 })),
    for_ms: Type.Optional(Type.Integer({ minimum: PAUSE_MIN_MS, maximum: PAUSE_MAX_MS })),
  },
  strict,
);
const KillBody = Type.Object(
  { grace_ms: Type.Optional(Type.Integer({ minimum: 0, maximum: GRACE_MAX_MS })) },
  strict,
);
const NoBody = Type.Object({}, strict);

/** Every scalar field of `agentView`, so that every one filters. */
const FIELDS: Record<string, FieldType> = {
  id: "text",
  kind: "text",
  host: "text",
  pid: "number",
  start_time: "time",
  start_ticks: "number",
  started_at: "time",
  uid: "number",
  command: "text",
  cwd: "text",
  workspace: "text",
  session_id: "text",
  run_id: "text",
  cgroup: "text",
  own_cgroup: "boolean",
  rss_bytes: "number",
  memory_usage_bytes: "number",
  memory_limit_bytes: "number",
  time_to_limit_ms: "number",
  state: "text",
  paused_until: "time",
};

/** Digits of the largest start tick and pid, so that texts sort as the numbers do. */
const TICKS_DIGITS = 20;
const PID_DIGITS = 10;

export function agentRoutes(deps: ApiDeps): Route[] {
  return [
    {
      endpoint: "GET /agents",
      summary: "Live processes that are agents, last started first.",
      list: true,
      handle({ request }) {
        const rows = deps.agents.list().map((agent) => agentView(agent, deps));
        const listing = { fields: FIELDS, timeField: "started_at", position: positionOf };
        return json(listLive(rows, listing, parseListQuery(request.url)));
      },
    },
    {
      endpoint: "GET /agents/:id",
      summary: "One agent, by its id, or by pid, session, run or kind where only one has it.",
      handle(call) {
        knownParameters(call.request.url, []);
        return json(agentView(agentOf(call, deps), deps));
      },
    },
    {
      endpoint: "POST /agents/:id/pause",
      summary: "Stops an agent with all it started, until resume or for a time (30 min).",
      body: PauseBody,
      takesLong: true,
      handle: (call) => pause(call, deps),
    },
    {
      endpoint: "POST /agents/:id/resume",
      summary: "Lets a paused agent go on.",
      body: NoBody,
      takesLong: true,
      async handle(call) {
        const agent = agentOf(call, deps);
        await readCommand(call, { deps, schema: NoBody });
        await deps.brakes.resume(agent);
        return json(agentView(agent, deps));
      },
    },
    {
      endpoint: "POST /agents/:id/kill",
      summary: "Ends an agent with all it started: TERM, grace, KILL, and proof that it is gone.",
      body: KillBody,
      takesLong: true,
      handle: (call) => kill(call, deps),
    },
  ];
}

function positionOf(row: Record<string, unknown>): string {
  const ticks = String(row["start_ticks"]).padStart(TICKS_DIGITS, "0");
  return `${ticks}-${String(row["pid"]).padStart(PID_DIGITS, "0")}`;
}

function agentOf({ params }: Call, deps: ApiDeps): ReturnType<typeof resolveAgent> {
  return resolveAgent(deps.agents, params["id"] ?? "");
}

async function pause(call: Call, deps: ApiDeps): Promise<Response> {
  const agent = agentOf(call, deps);
  const body = await readCommand(call, { deps, schema: PauseBody });
  return json(
    leaseView(await deps.brakes.pause(agent, pauseMs(body) ?? deps.settings["agents.pause_ms"])),
  );
}

/** Length of the pause, null where none is asked for; throws `invalid` with field, value and rule. */
function pauseMs({ for: text, for_ms: ms }: Static<typeof PauseBody>): number | null {
  if (text === undefined) return ms ?? null;
  if (ms !== undefined) throw badFor(text, "cannot stand beside for_ms");
  const given = parseDuration(text);
  if (given === null) throw badFor(text, "must be a duration such as 30m or 2h");
  if (given < PAUSE_MIN_MS || given > PAUSE_MAX_MS) {
    const rule = `must be from ${formatDuration(PAUSE_MIN_MS)} to ${formatDuration(PAUSE_MAX_MS)}`;
    throw badFor(text, rule);
  }
  return Math.round(given);
}

function badFor(value: string, rule: string): ObserverError {
  return new ObserverError(
    "invalid",
    `Cannot use "for": it ${rule}, got ${JSON.stringify(value)}`,
    {
      detail: { field: "for", value, rule },
    },
  );
}

async function kill(call: Call, deps: ApiDeps): Promise<Response> {
  const agent = agentOf(call, deps);
  const { grace_ms: graceMs } = await readCommand(call, { deps, schema: KillBody });
  const report = await deps.brakes.kill(agent, graceMs ?? deps.settings["agents.kill_grace_ms"]);
  if (report.survivors.length === 0) return json(killView(report));
  throw new HttpError(
    { status: 500, code: "failed" },
    `Cannot end agent ${agent.id}: ${report.survivors.join(", ")} still live`,
    { detail: { report: killView(report) } },
  );
}

function leaseView(lease: PauseLease): Record<string, unknown> {
  return {
    agent_id: lease.agentId,
    pid: lease.pid,
    method: lease.method,
    since: isoTime(lease.sinceMs),
    until: isoTime(lease.untilMs),
  };
}

function killView(report: KillReport): Record<string, unknown> {
  return {
    agent_id: report.agentId,
    pids: report.pids,
    killed: report.killed,
    survivors: report.survivors,
    duration_ms: report.durationMs,
  };
}
