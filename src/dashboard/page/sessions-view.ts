// Sessions: one run of one agent, what it used, and its events in order with trouble marked.

import { ask, at, list } from "./api.ts";
import { age, nowMs } from "./clock.ts";
import { code, h, said, type Child } from "./dom.ts";
import { compact, cost, duration } from "./format.ts";
import { shortId } from "./links.ts";
import { createListing } from "./listing.ts";
import { createPanel, panelHead, part } from "./panel.ts";
import { routeHash } from "./route.ts";
import type { CheckpointRow, EventRow, InterruptionRow, SessionRow } from "./shapes.ts";
import { facts } from "./table.ts";
import { lane, timeline } from "./timeline.ts";
import type { View, ViewContext } from "./view.ts";

/** Events of a session that are read, the newest ones. */
const EVENTS_READ = "500";
/** A session without an end that was silent this long is idle, not active. */
const IDLE_MS = 10 * 60_000;

export type SessionState = "active" | "idle" | "ended";

export function sessionState(session: SessionRow): SessionState {
  if (session.ended_at) return "ended";
  const last = Date.parse(session.last_at ?? session.started_at);
  return nowMs() - last < IDLE_MS ? "active" : "idle";
}

function lasted(session: SessionRow): string {
  const end = session.ended_at ?? session.last_at;
  return end ? duration(Date.parse(end) - Date.parse(session.started_at)) : "";
}

function tokens({ tokens: used }: SessionRow): number {
  return used.input + used.output + used.cache_read + used.cache_write;
}

export function createSessionsView(context: ViewContext): View {
  const listing = createListing<SessionRow>(
    {
      view: "sessions",
      title: "Sessions",
      caption: "Runs of agents, newest first",
      key: ({ id }) => id,
      href: ({ id }) => routeHash({ view: "sessions", id }),
      haystack: (row) =>
        `${row.id} ${row.agent} ${row.workspace} ${sessionState(row)} ${row.end_reason}`,
      columns: [
        {
          title: "Session",
          class: "wide",
          cell: (row) =>
            h(
              "span",
              { class: "two" },
              h(
                "span",
                { class: "subject" },
                said(row.agent ?? "unknown agent"),
                " ",
                h("span", { class: "id" }, shortId(row.id)),
              ),
              said(row.workspace, "text mono"),
            ),
        },
        {
          title: "State",
          cell: (row) => {
            const state = sessionState(row);
            return h(
              "span",
              { class: `state ${state}` },
              state === "ended" ? (row.end_reason ?? state) : state,
            );
          },
        },
        { title: "Started", class: "num opt", cell: (row) => age(row.started_at) },
        { title: "Lasted", class: "num opt", cell: lasted },
        { title: "Events", class: "num opt", cell: (row) => compact(row.events) },
        { title: "Calls", class: "num opt", cell: (row) => compact(row.tool_calls) },
        {
          title: "Errors",
          class: "num",
          cell: (row) => h("span", { class: row.errors > 0 ? "bad" : "dim" }, compact(row.errors)),
        },
        { title: "Tokens", class: "num opt", cell: (row) => compact(tokens(row)) },
        { title: "Cost", class: "num", cell: cost },
      ],
    },
    context,
  );
  const panel = createPanel("sessions", load, context);
  return {
    list: listing.root,
    detail: panel.root,
    draw(route) {
      listing.draw(context.store.sessions, route);
      const row = context.store.sessions.find(({ id }) => id === route.id);
      panel.show(route, row && `${row.events} ${row.ended_at}`);
    },
  };
}

async function load(id: string): Promise<Child[]> {
  const about = { session_id: id, limit: "200" };
  const [row, newest, interruptions, checkpoints] = await Promise.all([
    ask<SessionRow>(at("sessions", id)),
    list<EventRow>(at("sessions", id, "/events"), { limit: EVENTS_READ }),
    list<InterruptionRow>("interruptions", about),
    list<CheckpointRow>("checkpoints", about),
  ]);
  const events = newest.slice().reverse();
  const track = { events, interruptions, checkpoints };
  const more = row.events - events.length;
  const used = row.tokens;
  return [
    panelHead("sessions", [
      said(row.agent ?? "unknown agent"),
      h("span", { class: `state ${sessionState(row)}` }, sessionState(row)),
    ]),
    facts([
      ["Started", h("span", {}, age(row.started_at), " ago")],
      ["Lasted", lasted(row)],
      ["Ended", row.ended_at && said(row.end_reason ?? "yes")],
      ["Errors", h("span", { class: row.errors > 0 ? "bad" : "" }, String(row.errors))],
      ["Calls", compact(row.tool_calls)],
      ["Cost", costText(row)],
      ["Tokens in", compact(used.input)],
      ["Tokens out", compact(used.output)],
      ["Cache read", compact(used.cache_read)],
      ["Cache written", compact(used.cache_write)],
      ["Workspace", row.workspace && code(row.workspace)],
      ["Id", code(row.id)],
    ]),
    events.length > 0 && lane(track),
    part(
      `Timeline · ${row.events} events`,
      more > 0 && h("p", { class: "dim" }, `The first ${more} are not shown.`),
      timeline(track),
    ),
  ];
}

function costText(row: SessionRow): Child {
  if (row.unpriced_calls === 0) return cost(row);
  const title = `${row.unpriced_calls} calls of models whose price is not known come on top`;
  return h(
    "span",
    { attrs: { title } },
    cost(row),
    h("span", { class: "dim" }, ` · ${row.unpriced_calls} unpriced`),
  );
}
