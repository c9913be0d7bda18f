// `observer sessions`: which agents ran, what they used, how they ended.

import { createListVerb, filters } from "../list-verb.ts";
import { ago, compact, cost, number, object, text } from "../show.ts";
import type { Json } from "../client.ts";

function tokens(session: Json): string {
  const used = object(session, "tokens");
  const total = ["input", "output", "cache_read", "cache_write"]
    .map((bucket) => number(used, bucket) ?? 0)
    .reduce((sum, value) => sum + value, 0);
  return compact(total);
}

export const sessionsVerb = createListVerb(
  {
    name: "sessions",
    summary: "agents' runs: events, errors, tokens, cost",
    examples: ["observer sessions", "observer sessions --agent claude-code --since 2h"],
  },
  {
    path: "/sessions",
    filters: [filters.agent, filters.workspace],
    columns: ({ io }) => [
      { title: "SESSION", value: (row) => text(row, "id"), flexMin: 12 },
      { title: "AGENT", value: (row) => text(row, "agent") },
      { title: "STARTED", value: (row) => ago(text(row, "started_at"), io.clock.now()) },
      {
        title: "STATE",
        value: (row) => (row["ended_at"] ? text(row, "end_reason") || "ended" : "running"),
        colour: (row) => (row["ended_at"] ? "dim" : "green"),
        flexMin: 7,
      },
      { title: "EVENTS", right: true, value: (row) => text(row, "events") },
      { title: "CALLS", right: true, value: (row) => text(row, "tool_calls"), optional: 2 },
      {
        title: "ERRORS",
        right: true,
        value: (row) => text(row, "errors"),
        colour: (row) => ((number(row, "errors") ?? 0) > 0 ? "red" : null),
      },
      { title: "TOKENS", right: true, value: tokens, optional: 1 },
      { title: "COST", right: true, value: cost },
      { title: "WORKSPACE", value: (row) => text(row, "workspace"), flexMin: 10, optional: 3 },
    ],
    empty:
      "No sessions yet. Send one event:\n" +
      `  curl -d '{"endpoint":"try","success":true}' http://127.0.0.1:3800/event\n` +
      "or watch a whole incident: observer demo",
  },
);
