// The rows of the feed: events, interruptions, reactions and checkpoints as items of one list.

import { h, said, type Child } from "./dom.ts";
import { describeEvent } from "./event-text.ts";
import { clockTime, duration, words } from "./format.ts";
import { rowLink } from "./links.ts";
import { severityMark, statusBadge, tone } from "./marks.ts";
import { routeHash } from "./route.ts";
import type { CheckpointRow, EventRow, InterruptionRow, ReactionRow } from "./shapes.ts";
import type { Store } from "./store.ts";
import type { Column } from "./table.ts";

export type Item =
  | { type: "event"; id: string; time: string; row: EventRow }
  | { type: "interruption"; id: string; time: string; row: InterruptionRow }
  | { type: "reaction"; id: string; time: string; row: ReactionRow }
  | { type: "checkpoint"; id: string; time: string; row: CheckpointRow };

// The same row must be the same item, or the table would draw it again and again.
const items = new WeakMap<object, Item>();

function itemOf(row: object, make: () => Item): Item {
  const known = items.get(row) ?? make();
  items.set(row, known);
  return known;
}

/** Everything that the store holds as one list, newest first. */
export function feedOf(store: Store): Item[] {
  const all: Item[] = [
    ...store.events.map((row) =>
      itemOf(row, () => ({ type: "event", id: row.id, time: row.time, row })),
    ),
    ...store.interruptions.map((row) =>
      itemOf(row, () => ({ type: "interruption", id: row.id, time: row.time, row })),
    ),
    ...store.reactions.map((row) =>
      itemOf(row, () => ({ type: "reaction", id: row.id, time: row.started_at, row })),
    ),
    ...store.checkpoints.map((row) =>
      itemOf(row, () => ({ type: "checkpoint", id: row.id, time: row.created_at, row })),
    ),
  ];
  return all.sort((a, b) => (a.time < b.time ? 1 : a.time > b.time ? -1 : 0));
}

function kindCell(item: Item): Child {
  switch (item.type) {
    case "event":
      return h("span", { class: `kind k-${item.row.kind}` }, words(item.row.kind));
    case "interruption":
      return h(
        "span",
        { class: `kind sev-${item.row.severity}` },
        severityMark(item.row.severity),
        "trouble",
      );
    case "reaction":
      return h("span", { class: "kind k-reaction" }, "reaction");
    case "checkpoint":
      return h("span", { class: "kind k-checkpoint" }, "checkpoint");
  }
}

function whatCell(item: Item): Child {
  switch (item.type) {
    case "event": {
      const { subject, text, bad, aside } = describeEvent(item.row);
      return h(
        "span",
        { class: bad ? "line bad" : "line" },
        bad && h("span", { class: "badge bad" }, "failed"),
        said(subject, "subject"),
        said(text, "text"),
        said(aside, "aside"),
      );
    }
    case "interruption":
      return h(
        "span",
        { class: "line" },
        said(words(item.row.type), "subject"),
        said(item.row.summary, "text"),
      );
    case "reaction":
      return h(
        "span",
        { class: "line" },
        statusBadge(item.row.status),
        said(item.row.kind, "subject"),
        said(item.row.reason, "text"),
        said(duration(item.row.duration_ms), "aside"),
      );
    case "checkpoint":
      return h(
        "span",
        { class: "line" },
        statusBadge(item.row.status),
        said(item.row.workspace, "subject"),
        said(item.row.label ?? item.row.reason, "text"),
      );
  }
}

function who(item: Item): Child {
  const agent = "agent" in item.row ? item.row.agent : null;
  return said(agent ?? (item.type === "event" ? item.row.source : ""));
}

/** Where an item leads. */
export function hrefOf(item: Item): string | null {
  switch (item.type) {
    case "event":
      return routeHash({ view: "feed", id: item.id });
    case "interruption":
      return routeHash({ view: "interruptions", id: item.id });
    case "reaction":
      return routeHash({ view: "interruptions", id: item.row.interruption_id });
    case "checkpoint":
      return routeHash({ view: "checkpoints", id: item.id });
  }
}

/** Classes of an item that is trouble or bad news. */
export function rowClass(item: Item): string {
  if (item.type === "event") return describeEvent(item.row).bad ? "is-bad" : "";
  if (item.type === "interruption") return `is-trouble sev-${item.row.severity}`;
  return item.type === "reaction" && tone(item.row.status) === "bad" ? "is-bad" : "";
}

export const FEED_COLUMNS: readonly Column<Item>[] = [
  { title: "Time", class: "time num", cell: (item) => clockTime(item.time) },
  { title: "Kind", class: "kind-cell", cell: kindCell },
  { title: "Agent", class: "opt", cell: who },
  { title: "Session", class: "opt", cell: ({ row }) => rowLink("sessions", row.session_id) },
  { title: "What", class: "wide", cell: whatCell },
];
