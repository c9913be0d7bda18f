// Severity, outcome and state as shapes, so that colour is never the only sign.

import { SEVERITIES, type Severity } from "../../core/interruption.ts";
import { h, svg } from "./dom.ts";

const SHAPES: Record<Severity, () => SVGElement[]> = {
  critical: () => [
    svg("path", { d: "M5 1h6l4 4v6l-4 4H5l-4-4V5z", fill: "currentColor" }),
    svg("path", { d: "M8 4.2v4.6M8 11v.8", class: "mark-ink" }),
  ],
  high: () => [
    svg("path", { d: "M8 1.2 15.4 14.4H.6z", fill: "currentColor" }),
    svg("path", { d: "M8 6v4M8 12v.6", class: "mark-ink" }),
  ],
  medium: () => [svg("path", { d: "M8 1l7 7-7 7-7-7z", fill: "currentColor" })],
  low: () => [svg("circle", { cx: 8, cy: 8, r: 5.5, fill: "currentColor" })],
  info: () => [
    svg("circle", { cx: 8, cy: 8, r: 5, fill: "none", stroke: "currentColor", "stroke-width": 2 }),
  ],
};

function known(severity: string): Severity {
  return SEVERITIES.find((name) => name === severity) ?? "info";
}

/** The shape of a severity, named for those who do not see it. */
export function severityMark(severity: string): SVGElement {
  const name = known(severity);
  return svg(
    "svg",
    { class: `mark sev-${name}`, viewBox: "0 0 16 16", role: "img", "aria-label": name },
    svg("title", {}, name),
    ...SHAPES[name](),
  );
}

/** Tone of a status of a reaction or checkpoint. */
export function tone(status: string): "good" | "bad" | "warn" | "calm" {
  if (status === "ok" || status === "done") return "good";
  if (status === "failed" || status === "timed_out" || status === "unknown") return "bad";
  return status === "partial" || status === "pending" ? "warn" : "calm";
}

/** A status in words on a tinted ground. */
export function statusBadge(status: string): HTMLElement {
  return h("span", { class: `badge ${tone(status)}` }, status.replace(/_/g, " "));
}

const ICONS: Record<string, string> = {
  feed: "M1.5 8h3l2-5 3.5 10 2-5h2.5",
  interruptions: "M8 1.8 14.8 14H1.2zM8 6.2v3.6M8 11.6v.6",
  sessions: "M2 3h12v8H2zM5.5 13.6h5M4.6 5.6l1.8 1.5-1.8 1.5M8 8.8h2.6",
  checkpoints:
    "M8 1.6 13.6 4v4.2c0 3-2.3 5-5.6 6.2-3.3-1.2-5.6-3.2-5.6-6.2V4zM5.5 8l1.8 1.8 3.4-3.6",
};

/** The icon of a view; the text beside it names it. */
export function icon(name: string): SVGElement {
  return svg(
    "svg",
    { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" },
    svg("path", { d: ICONS[name] ?? "" }),
  );
}
