// Events: taken in batches, listed, shown.

import { Type } from "@sinclair/typebox";
import { EVENT_KINDS } from "../../core/event.ts";
import { createTurns, openBatch, takeBatch } from "../batch.ts";
import { readText } from "../body.ts";
import type { ApiDeps } from "../deps.ts";
import type { Guard } from "../guard.ts";
import { refuseUnderPressure } from "../pressure.ts";
import { type Call, json, type Route } from "../route.ts";
import { getRoute, listRoute } from "./resource-routes.ts";
import { eventView } from "../views.ts";

const NativeEvent = Type.Object(
  {
    kind: Type.Union(EVENT_KINDS.map((kind) => Type.Literal(kind))),
    id: Type.Optional(Type.String()),
    time: Type.Optional(Type.String({ format: "date-time" })),
    session_id: Type.Optional(Type.String()),
    agent: Type.Optional(Type.String()),
    workspace: Type.Optional(Type.String()),
    pid: Type.Optional(Type.Integer()),
    host: Type.Optional(Type.String()),
    source: Type.Optional(Type.String()),
  },
  { additionalProperties: true },
);

const BatchAnswer = Type.Object({
  accepted: Type.Integer(),
  duplicates: Type.Integer(),
  rejected: Type.Array(Type.Object({ index: Type.Integer(), error: Type.String() })),
  rejected_total: Type.Integer(),
});

export function eventRoutes(deps: ApiDeps, guard: Pick<Guard, "isAdmin">): Route[] {
  const batches = { ...deps, guard, turn: createTurns() };
  return [
    {
      endpoint: "POST /events",
      summary: "Takes native events: a JSON array, NDJSON, or one object; gzip and zstd accepted.",
      body: Type.Array(NativeEvent),
      answer: BatchAnswer,
      handle: (call) => takeEvents(call, batches),
    },
    listRoute("GET /events", {
      summary: "Events, newest first.",
      rows: deps.events,
      view: eventView,
    }),
    getRoute("GET /events/:id", {
      summary: "One event, by the id given at ingest or observer's own.",
      rows: deps.events,
      view: eventView,
      noun: "event",
    }),
  ];
}

/** `?import=true`: history. It is kept and judged, nothing is done about it, and a used id is the same fact. */
async function takeEvents(
  { request, listener }: Call,
  deps: ApiDeps & { guard: Pick<Guard, "isAdmin">; turn: () => Promise<void> },
): Promise<Response> {
  refuseUnderPressure(deps);
  const text = await readText(request, deps.settings["limits.batch_bytes"]);
  const imported = new URL(request.url).searchParams.get("import") === "true";
  const batch = openBatch(text, deps.settings["limits.depth"]);
  const mayTellForKernel = (): boolean => deps.guard.isAdmin(request, listener);
  return json(await takeBatch(batch, { ...deps, imported, mayTellForKernel }));
}
