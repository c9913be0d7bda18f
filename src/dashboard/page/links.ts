// Links between rows: short ids that lead to the row.

import { printable } from "../../core/text.ts";
import { h } from "./dom.ts";
import { routeHash, type ViewName } from "./route.ts";

/** Ids longer than this are shown by their ends. */
const ID_SHOWN_MAX = 14;

export function shortId(id: string): string {
  const text = printable(id);
  return text.length > ID_SHOWN_MAX ? `${text.slice(0, 8)}…${text.slice(-4)}` : text;
}

/** A link to a row, or nothing where there is none. */
export function rowLink(
  view: ViewName,
  id: string | null | undefined,
  text?: string,
): HTMLElement | null {
  if (!id) return null;
  const attrs = { href: routeHash({ view, id }), title: printable(id) };
  return h("a", { class: "id", attrs }, text ?? shortId(id));
}
