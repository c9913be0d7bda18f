// `observer reactions`: what was done about trouble, and what was decided against.

import { REACTION_KINDS, REACTION_STATUSES } from "../../core/reaction.ts";
import { createListVerb, filters } from "../list-verb.ts";
import { statusColour } from "../paint.ts";
import { ago, duration, number, text } from "../show.ts";

export const reactionsVerb = createListVerb(
  {
    name: "reactions",
    summary: "what was done about it, and what was decided against",
    examples: ["observer reactions --kind checkpoint", "observer reactions --status failed --json"],
  },
  {
    path: "/reactions",
    filters: [
      {
        name: "kind",
        value: "KIND",
        field: "kind",
        help: "Only this kind.",
        oneOf: REACTION_KINDS,
      },
      {
        name: "status",
        value: "STATUS",
        field: "status",
        help: "Only this outcome.",
        oneOf: REACTION_STATUSES,
      },
      {
        name: "interruption",
        value: "ID",
        field: "interruption_id",
        help: "Only those about this interruption.",
      },
      filters.session,
      filters.workspace,
    ],
    columns: ({ io }) => [
      { title: "WHEN", value: (row) => ago(text(row, "started_at"), io.clock.now()) },
      { title: "KIND", value: (row) => text(row, "kind") },
      {
        title: "STATUS",
        value: (row) => text(row, "status"),
        colour: (row) => statusColour(row["status"]),
      },
      {
        title: "TOOK",
        right: true,
        value: (row) => duration(number(row, "duration_ms")),
        optional: 2,
      },
      { title: "INTERRUPTION", value: (row) => text(row, "interruption_id"), optional: 1 },
      { title: "REASON", value: (row) => text(row, "reason"), flexMin: 24 },
    ],
    empty: "No reactions. They follow interruptions: observer interruptions",
  },
);
