// Sessions, interruptions and reactions: what agents did, what befell them, what was done about it.

import type { ApiDeps } from "../deps.ts";
import { knownParameters } from "../list-query.ts";
import { json, type Route } from "../route.ts";
import { eventView, interruptionView, reactionView, sessionView } from "../views.ts";
import { found, getRoute, listRoute } from "./resource-routes.ts";

export function sessionRoutes(deps: ApiDeps): Route[] {
  return [
    listRoute("GET /sessions", {
      summary: "Runs of agents, newest first.",
      rows: deps.sessions,
      view: sessionView,
    }),
    getRoute("GET /sessions/:id", {
      summary: "One run of an agent.",
      rows: deps.sessions,
      view: sessionView,
      noun: "session",
    }),
    listRoute("GET /sessions/:id/events", {
      summary: "Events of one session, newest first.",
      rows: deps.events,
      view: eventView,
      fixed(params) {
        const id = params["id"] ?? "";
        found(deps.sessions.get(id), { noun: "session", id });
        return { session_id: id };
      },
    }),
  ];
}

export function interruptionRoutes(deps: ApiDeps): Route[] {
  return [
    listRoute("GET /interruptions", {
      summary: "Troubles that were recognised, newest first.",
      rows: deps.interruptions,
      view: interruptionView,
    }),
    getRoute("GET /interruptions/:id", {
      summary: "One trouble with its evidence.",
      rows: deps.interruptions,
      view: interruptionView,
      noun: "interruption",
    }),
    {
      endpoint: "POST /interruptions/:id/resolve",
      summary: "Says that a trouble is over; when it comes back it is a new one.",
      handle({ request, params }) {
        knownParameters(request.url, []);
        const id = params["id"] ?? "";
        const resolved = found(deps.interruptions.resolve(id), { noun: "interruption", id });
        return json(interruptionView(resolved));
      },
    },
    listRoute("GET /reactions", {
      summary: "Everything that was decided about interruptions, newest first.",
      rows: deps.reactions,
      view: reactionView,
    }),
    getRoute("GET /reactions/:id", {
      summary: "One reaction and its outcome.",
      rows: deps.reactions,
      view: reactionView,
      noun: "reaction",
    }),
  ];
}
