// `observer events`: what happened, newest first.

import { EVENT_KINDS } from "../../core/event.ts";
import { createListVerb, filters } from "../list-verb.ts";
import { ago, eventSummary, object, text } from "../show.ts";
import type { Json } from "../client.ts";

function bad(event: Json): boolean {
  const data = { ...event, ...object(event, "data") };
  return data["ok"] === false || data["success"] === false || Boolean(data["error"]);
}

const kindHelp = "Only events of this kind.";

export const eventsVerb = createListVerb(
  {
    name: "events",
    summary: "everything that was seen, newest first",
    examples: [
      "observer events --kind tool_result --since 10m",
      "observer events --session S --json",
    ],
  },
  {
    path: "/events",
    filters: [
      { name: "kind", value: "KIND", field: "kind", help: kindHelp, oneOf: EVENT_KINDS },
      {
        name: "type",
        value: "KIND",
        field: "kind",
        help: "The same as --kind.",
        oneOf: EVENT_KINDS,
      },
      { name: "source", value: "NAME", field: "source", help: "Only this reporter." },
      filters.session,
      filters.agent,
      filters.workspace,
    ],
    columns: ({ io }) => [
      { title: "WHEN", value: (row) => ago(text(row, "time"), io.clock.now()) },
      {
        title: "KIND",
        value: (row) => text(row, "kind"),
        colour: (row) => (bad(row) ? "red" : null),
      },
      { title: "AGENT", value: (row) => text(row, "agent") || text(row, "source"), flexMin: 8 },
      { title: "SESSION", value: (row) => text(row, "session_id"), flexMin: 10, optional: 1 },
      { title: "WHAT", value: eventSummary, flexMin: 24 },
    ],
    empty:
      "No events. Send one:\n" +
      `  curl -d '{"endpoint":"try","success":true}' http://127.0.0.1:3800/event`,
  },
);
