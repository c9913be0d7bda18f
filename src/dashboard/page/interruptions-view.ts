// Interruptions: trouble that was recognised, with its proof and what was done about it.

import { SEVERITIES } from "../../core/interruption.ts";
import { ask, at, list } from "./api.ts";
import { age } from "./clock.ts";
import { action, code, h, said, type Child } from "./dom.ts";
import { eventLine } from "./event-detail.ts";
import { duration, words } from "./format.ts";
import { rowLink } from "./links.ts";
import { createListing, type Choice } from "./listing.ts";
import { severityMark, statusBadge } from "./marks.ts";
import { createPanel, panelHead, part } from "./panel.ts";
import { routeHash } from "./route.ts";
import type { CheckpointRow, EventRow, InterruptionRow, ReactionRow } from "./shapes.ts";
import { facts } from "./table.ts";
import type { View, ViewContext } from "./view.ts";

/** Events of the evidence that are read; the last ones tell most. */
const EVIDENCE_READ = 20;

const CHOICES: readonly Choice[] = [
  {
    param: "severity",
    label: "Severity",
    values: [
      ["", "Any severity"],
      ...[...SEVERITIES].reverse().map((name) => [name, name] as const),
    ],
  },
  {
    param: "state",
    label: "State",
    values: [
      ["", "Open and settled"],
      ["open", "Open"],
      ["settled", "Settled"],
    ],
  },
];

export function createInterruptionsView(context: ViewContext): View {
  const listing = createListing<InterruptionRow>(
    {
      view: "interruptions",
      title: "Interruptions",
      caption: "Trouble that was recognised, newest first",
      key: ({ id }) => id,
      href: ({ id }) => routeHash({ view: "interruptions", id }),
      rowClass: (row) => (row.resolved_at ? "is-settled" : ""),
      haystack: (row) => JSON.stringify(row),
      choices: CHOICES,
      columns: [
        { title: "", class: "mark-cell", cell: (row) => severityMark(row.severity) },
        {
          title: "Trouble",
          class: "wide",
          cell: (row) =>
            h(
              "span",
              { class: "two" },
              h("span", { class: "subject" }, words(row.type)),
              said(row.summary, "text"),
            ),
        },
        { title: "Agent", class: "opt", cell: (row) => said(row.agent) },
        { title: "Session", class: "opt", cell: (row) => rowLink("sessions", row.session_id) },
        { title: "Times", class: "num opt", cell: (row) => `×${row.count}` },
        {
          title: "State",
          class: "opt",
          cell: (row) => h("span", { class: "dim" }, row.resolved_at ? "settled" : "open"),
        },
        { title: "Last", class: "num", cell: (row) => age(row.last_time) },
      ],
    },
    context,
  );
  const panel = createPanel("interruptions", (id) => load(id, context), context);
  return {
    list: listing.root,
    detail: panel.root,
    draw(route) {
      const { severity, state } = route.params;
      const rows = context.store.interruptions.filter(
        (row) =>
          (!severity || row.severity === severity) &&
          (!state || (state === "open") === (row.resolved_at === null)),
      );
      listing.draw(rows, route);
      const { interruptions, reactions } = context.store;
      const row = interruptions.find(({ id }) => id === route.id);
      const about = reactions.filter((reaction) => reaction.interruption_id === route.id);
      const version = `${row?.count} ${row?.resolved_at} ${about.map(({ status }) => status).join()}`;
      panel.show(route, version);
    },
  };
}

async function load(id: string, context: ViewContext): Promise<Child[]> {
  const row = await ask<InterruptionRow>(at("interruptions", id));
  const query = { interruption_id: row.id, limit: "50" };
  const [reactions, checkpoints, evidence] = await Promise.all([
    list<ReactionRow>("reactions", query),
    list<CheckpointRow>("checkpoints", query),
    readEvidence(row.evidence),
  ]);
  const settle = action("Settle", () => {
    ask(at("interruptions", row.id, "/resolve"), { method: "POST", body: {} }).then(
      context.reload,
      context.fail,
    );
  });
  return [
    panelHead(
      "interruptions",
      [severityMark(row.severity), words(row.type)],
      [row.resolved_at ? null : settle],
    ),
    h("p", { class: "summary" }, said(row.summary)),
    facts([
      ["Severity", row.severity],
      ["Seen", `${row.count} ${row.count === 1 ? "time" : "times"}`],
      ["First", h("span", {}, age(row.first_time), " ago")],
      ["Last", h("span", {}, age(row.last_time), " ago")],
      ["Detected in", duration(row.detected_ms)],
      ["Agent", row.agent && said(row.agent)],
      ["Session", rowLink("sessions", row.session_id)],
      ["Workspace", row.workspace && code(row.workspace)],
      ["Settled", row.resolved_at && h("span", {}, age(row.resolved_at), " ago")],
      ["Id", code(row.id)],
    ]),
    part("What was done", reactionList(reactions), ...checkpoints.map(checkpointOffer)),
    part("Why", detailList(row.detail)),
    part(
      `Evidence · ${row.evidence.length}`,
      h("ol", { class: "timeline" }, ...evidence.map((event) => h("li", {}, event))),
    ),
  ];
}

async function readEvidence(ids: readonly string[]): Promise<HTMLElement[]> {
  const rows = await Promise.all(
    // An event may be gone by retention; its id is still shown.
    ids.slice(-EVIDENCE_READ).map((id) => ask<EventRow>(at("events", id)).catch(() => id)),
  );
  const first = rows.find((row) => typeof row !== "string");
  const startMs = first === undefined || typeof first === "string" ? 0 : Date.parse(first.time);
  return rows.map((row) => (typeof row === "string" ? code(row) : eventLine(row, startMs)));
}

function reactionList(reactions: readonly ReactionRow[]): HTMLElement {
  if (reactions.length === 0) return h("p", { class: "dim" }, "Nothing was ordered for it.");
  return h(
    "ul",
    { class: "plain" },
    ...reactions.map((reaction) =>
      h(
        "li",
        { class: "line" },
        statusBadge(reaction.status),
        said(reaction.kind, "subject"),
        said(reaction.reason, "text"),
        said(duration(reaction.duration_ms), "aside"),
      ),
    ),
  );
}

function checkpointOffer(row: CheckpointRow): HTMLElement {
  const href = routeHash({ view: "checkpoints", id: row.id });
  return h(
    "a",
    { class: "offer", attrs: { href } },
    statusBadge(row.status),
    h("span", {}, "Checkpoint ", code(row.id), " holds ", code(row.workspace), " as it was then"),
    h("span", { class: "go" }, "Compare and restore →"),
  );
}

/** The detail's fields; a list such as the repeated sequence is written as steps. */
function detailList(detail: Record<string, unknown>): HTMLElement {
  return facts(
    Object.entries(detail).map(([name, value]): [string, Child] => {
      if (Array.isArray(value) && value.every((item) => typeof item !== "object")) {
        return [
          words(name),
          h("span", { class: "steps" }, ...value.map((item) => code(String(item)))),
        ];
      }
      const text = typeof value === "string" ? value : JSON.stringify(value);
      return [words(name), typeof value === "number" ? String(value) : code(text)];
    }),
  );
}
