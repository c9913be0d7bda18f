// A session in time: a lane that shows it whole, and its events line by line.

import { code, h, said, svg, type Child } from "./dom.ts";
import { eventLine } from "./event-detail.ts";
import { describeEvent } from "./event-text.ts";
import { count, duration, offset, words } from "./format.ts";
import { severityMark, statusBadge } from "./marks.ts";
import { routeHash } from "./route.ts";
import type { CheckpointRow, EventRow, InterruptionRow } from "./shapes.ts";

/** Events oldest first. */
export interface Track {
  events: EventRow[];
  interruptions: InterruptionRow[];
  checkpoints: CheckpointRow[];
}

const WIDTH = 1_000;
const HEIGHT = 56;
/** Columns of the lane: enough to see the pace, few enough to see each one. */
const BINS = 100;

function startOf(track: Track): number {
  return Math.min(...track.events.map((event) => Date.parse(event.time)));
}

/** The whole session as columns of events, failures in red, trouble and checkpoints marked above. */
export function lane(track: Track): HTMLElement {
  const start = startOf(track);
  const end = Math.max(start + 1, ...track.events.map((event) => Date.parse(event.time)));
  const bins = Array.from({ length: BINS }, () => ({ good: 0, bad: 0 }));
  const binOf = (iso: string): number => {
    const share = (Date.parse(iso) - start) / (end - start);
    return Math.max(0, Math.min(BINS - 1, Math.floor(share * BINS)));
  };
  for (const event of track.events) {
    const bin = bins[binOf(event.time)];
    if (bin) bin[describeEvent(event).bad ? "bad" : "good"] += 1;
  }
  const tallest = Math.max(...bins.map(({ good, bad }) => good + bad));
  const columns = bins.flatMap(({ good, bad }, index) => column(index, [good, bad], tallest));
  const marks = [
    ...track.interruptions.map((row) =>
      laneMark(binOf(row.time), `sev-${row.severity}`, words(row.type)),
    ),
    ...track.checkpoints.map((row) =>
      laneMark(binOf(row.created_at), "k-checkpoint", "checkpoint"),
    ),
  ];
  const label = `${count(track.events.length, "event")} over ${duration(end - start)}, ${count(track.interruptions.length, "interruption")}`;
  return h(
    "figure",
    { class: "lane" },
    svg(
      "svg",
      {
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": label,
      },
      ...columns,
      ...marks,
    ),
    h("figcaption", { class: "dim" }, h("span", {}, "start"), h("span", {}, duration(end - start))),
  );
}

/** One column: good below, bad on top. */
function column(index: number, [good, bad]: [number, number], tallest: number): SVGElement[] {
  const step = WIDTH / BINS;
  const scale = (HEIGHT - 14) / Math.max(1, tallest);
  // A single event must be seen beside a burst.
  const height = (value: number): number => (value === 0 ? 0 : Math.max(4, value * scale));
  const rect = (y: number, tall: number, className: string): SVGElement =>
    svg("rect", { x: index * step + 1, y, width: step - 2, height: tall, class: className });
  const goodTall = height(good);
  const badTall = height(bad);
  return [
    ...(good > 0 ? [rect(HEIGHT - goodTall, goodTall, "bar")] : []),
    ...(bad > 0 ? [rect(HEIGHT - goodTall - badTall, badTall, "bar is-bad")] : []),
  ];
}

function laneMark(bin: number, className: string, title: string): SVGElement {
  const x = (bin + 0.5) * (WIDTH / BINS);
  return svg(
    "g",
    { class: `lane-mark ${className}` },
    svg("title", {}, title),
    svg("path", { d: `M${x} 10V${HEIGHT}`, class: "stem" }),
    svg("path", { d: `M${x - 6} 0h12l-6 10z`, fill: "currentColor" }),
  );
}

/** Events, interruptions and checkpoints line by line, oldest first. */
export function timeline(track: Track): HTMLElement {
  const start = startOf(track);
  const rows = [
    ...track.events.map((event) => ({ time: event.time, line: () => eventLine(event, start) })),
    ...track.interruptions.map((row) => ({ time: row.time, line: () => troubleLine(row, start) })),
    ...track.checkpoints.map((row) => ({
      time: row.created_at,
      line: () => savedLine(row, start),
    })),
  ];
  rows.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  return h("ol", { class: "timeline" }, ...rows.map(({ line }) => h("li", {}, line())));
}

function markedLine(href: string, className: string, children: Child[]): HTMLElement {
  return h("a", { class: `line marked ${className}`, attrs: { href } }, ...children);
}

function troubleLine(row: InterruptionRow, start: number): HTMLElement {
  return markedLine(routeHash({ view: "interruptions", id: row.id }), `sev-${row.severity}`, [
    h("span", { class: "time num" }, offset(Date.parse(row.time) - start)),
    severityMark(row.severity),
    h("span", { class: "subject" }, words(row.type)),
    said(row.summary, "text"),
    h("span", { class: "aside" }, `×${row.count}`),
  ]);
}

function savedLine(row: CheckpointRow, start: number): HTMLElement {
  return markedLine(routeHash({ view: "checkpoints", id: row.id }), "k-checkpoint", [
    h("span", { class: "time num" }, offset(Date.parse(row.created_at) - start)),
    statusBadge(row.status),
    h("span", { class: "subject" }, "checkpoint"),
    code(row.id),
  ]);
}
