// Differences between two trees.

import { h, said } from "./dom.ts";
import { size } from "./format.ts";
import type { ChangeRow } from "./shapes.ts";

/** Changes that are drawn; the command line has all. */
const CHANGES_SHOWN = 500;

const KINDS = [
  { change: "added", mark: "+", tone: "good" },
  { change: "modified", mark: "~", tone: "warn" },
  { change: "deleted", mark: "−", tone: "bad" },
  { change: "renamed", mark: "→", tone: "calm" },
] as const;

/** "2 added, 1 deleted". */
export function changeSummary(changes: readonly ChangeRow[]): string {
  return KINDS.map(
    ({ change }) => [change, changes.filter((row) => row.change === change).length] as const,
  )
    .filter(([, many]) => many > 0)
    .map(([change, many]) => `${many.toLocaleString("en")} ${change}`)
    .join(", ");
}

function sizes(row: ChangeRow): string {
  const { size_before: before, size_after: after } = row;
  if (before !== undefined && after !== undefined && before !== after) {
    return `${size(before)} → ${size(after)}`;
  }
  return size(after ?? before);
}

/** The changes as a list, or `none` in words. */
export function changeList(changes: readonly ChangeRow[], none: string): HTMLElement {
  if (changes.length === 0) return h("p", { class: "dim" }, none);
  const rows = changes.slice(0, CHANGES_SHOWN).map((row) => {
    const kind = KINDS.find(({ change }) => change === row.change);
    return h(
      "li",
      { class: "line" },
      h(
        "span",
        { class: `change ${kind?.tone ?? "calm"}`, attrs: { title: row.change } },
        kind?.mark ?? "?",
      ),
      h("span", { class: "hidden" }, row.change),
      said(row.from ? `${row.from} → ${row.path}` : row.path, "text mono"),
      h("span", { class: "aside" }, row.what?.join(" ")),
      h("span", { class: "aside num" }, sizes(row)),
    );
  });
  const more = changes.length - rows.length;
  return h(
    "div",
    {},
    h("p", { class: "dim" }, changeSummary(changes)),
    h("ul", { class: "plain changes" }, ...rows),
    more > 0 && h("p", { class: "dim" }, `and ${more} more: observer checkpoint diff ID`),
  );
}
