// What observer says about itself: alive, ready, version, metrics, the live stream.

import { ObserverError } from "../../core/errors.ts";
import type { ApiDeps } from "../deps.ts";
import { HttpError } from "../problem.ts";
import { type Call, json, type Route } from "../route.ts";
import type { StreamHub } from "../stream-hub.ts";

export function statusRoutes(deps: ApiDeps, hub: StreamHub): Route[] {
  return [
    {
      endpoint: "GET /livez",
      summary: "Whether the process answers.",
      handle: () => json({ status: "ok" }),
    },
    {
      endpoint: "GET /readyz",
      summary: "Whether observer is ready; 503 says why not.",
      handle: () => showReadiness(deps),
    },
    {
      endpoint: "GET /version",
      summary:
        "Version, commit, runtime and platform; how long it runs and which workspaces it protects.",
      handle: () =>
        json({
          ...deps.build,
          host: deps.host,
          uptime_ms: Math.round(deps.clock.monotonic() - deps.startedMs),
          protection: deps.protection(),
        }),
    },
    {
      endpoint: "GET /metrics",
      summary: "Counters and gauges in Prometheus' text format.",
      contentType: "text/plain",
      handle: () =>
        new Response(deps.metrics.render(), {
          headers: {
            "content-type": "text/plain; version=0.0.4; charset=utf-8",
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
          },
        }),
    },
    {
      endpoint: "GET /stream",
      summary: "Server-sent events: event, interruption, reaction, checkpoint, stats.",
      query: { last_event_id: "Resumes after this id, where a header cannot be sent." },
      contentType: "text/event-stream",
      takesLong: true,
      handle: (call) => hub.open(lastEventId(call)),
    },
  ];
}

function showReadiness(deps: ApiDeps): Response {
  const reason = deps.unready();
  if (reason === null) return json({ status: "ready" });
  throw new HttpError({ status: 503, code: "unready" }, `Not ready: ${reason}`, {
    detail: { reason },
  });
}

function lastEventId({ request }: Call): number | null {
  const given =
    request.headers.get("last-event-id") ??
    new URL(request.url).searchParams.get("last_event_id") ??
    "";
  if (given === "") return null;
  if (/^\d{1,16}$/.test(given) && Number.isSafeInteger(Number(given))) return Number(given);
  throw new ObserverError("invalid", "Cannot resume: Last-Event-ID must be a number");
}
