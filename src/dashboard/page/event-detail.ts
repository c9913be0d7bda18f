// One event in full, and one event as a line that opens.

import { code, h, said, type Child } from "./dom.ts";
import { describeEvent } from "./event-text.ts";
import { offset, words } from "./format.ts";
import { rowLink } from "./links.ts";
import type { EventRow } from "./shapes.ts";
import { facts } from "./table.ts";
import { age } from "./clock.ts";

/** Fields that have their own place in the detail. */
const ENVELOPE = new Set([
  "id",
  "kind",
  "time",
  "received_at",
  "session_id",
  "agent",
  "workspace",
  "pid",
  "host",
  "source",
]);
/** Longer values are cut; the API has them whole. */
const VALUE_MAX = 20_000;

/** The fields of the event that are not its envelope, as readable blocks. */
function payload(event: EventRow): HTMLElement[] {
  return Object.entries(event)
    .filter(([name, value]) => !ENVELOPE.has(name) && value !== null && value !== "")
    .map(([name, value]) => {
      const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
      const cut =
        text.length > VALUE_MAX
          ? `${text.slice(0, VALUE_MAX)}\n… cut, GET /events/ID has it all`
          : text;
      const short = !text.includes("\n") && text.length < 60;
      return h(
        "div",
        { class: short ? "field short" : "field" },
        h("div", { class: "name" }, name),
        short ? said(text) : h("pre", { attrs: { tabindex: 0 } }, cut),
      );
    });
}

export function eventDetail(event: EventRow): Child[] {
  return [
    facts([
      [
        "When",
        h("span", {}, new Date(event.time).toLocaleString(), " · ", age(event.time), " ago"),
      ],
      ["Agent", event.agent && said(event.agent)],
      ["Source", said(event.source)],
      ["Session", rowLink("sessions", event.session_id)],
      ["Workspace", event.workspace && code(event.workspace)],
      ["Id", code(event.id)],
    ]),
    h("div", { class: "fields" }, ...payload(event)),
  ];
}

/** An event as a line of a timeline; opening it shows its fields. `startMs`: where the timeline begins. */
export function eventLine(event: EventRow, startMs: number): HTMLElement {
  const { subject, text, bad, aside } = describeEvent(event);
  const details = h(
    "details",
    {},
    h(
      "summary",
      { class: bad ? "line bad" : "line" },
      h("span", { class: "time num" }, offset(Date.parse(event.time) - startMs)),
      h("span", { class: `kind k-${event.kind}` }, words(event.kind)),
      bad && h("span", { class: "badge bad" }, "failed"),
      said(subject, "subject"),
      said(text, "text"),
      said(aside, "aside"),
    ),
  );
  // The fields are made when they are asked for: a session has hundreds of lines.
  details.addEventListener("toggle", () => {
    if (details.childElementCount === 1)
      details.append(h("div", { class: "fields" }, ...payload(event)));
  });
  return details;
}
