// The right half of a view: the detail of one row, read when it is selected and again when it changes.

import { SignedOutError } from "./api.ts";
import { fill, h, type Child } from "./dom.ts";
import { routeHash, type Route, type ViewName } from "./route.ts";
import type { ViewContext } from "./view.ts";

export interface Panel {
  root: HTMLElement;
  /** Shows `id`; reads it anew when `version` is another than before. */
  show(route: Route, version: unknown): void;
}

/** A panel whose content `load` makes. */
export function createPanel(
  view: ViewName,
  load: (id: string) => Promise<Child[]>,
  context: ViewContext,
): Panel {
  const root = h("section", { class: "detail", attrs: { "aria-label": "Detail" } });
  let shown: { id: string; version: unknown } | null = null;
  // Only the newest read may draw.
  let reads = 0;

  const read = async (id: string): Promise<void> => {
    reads += 1;
    const mine = reads;
    try {
      const children = await load(id);
      if (mine === reads) fill(root, ...children);
    } catch (thrown) {
      if (mine !== reads) return;
      if (thrown instanceof SignedOutError) context.fail(thrown);
      const text = thrown instanceof Error ? thrown.message : String(thrown);
      fill(root, panelHead(view, ["Cannot be shown"]), h("p", { class: "problem" }, text));
    }
  };

  return {
    root,
    show(route, version) {
      const { id } = route;
      root.hidden = id === null;
      if (id === null) {
        shown = null;
        reads += 1;
        return;
      }
      if (shown?.id === id && shown.version === version) return;
      const fresh = shown?.id !== id;
      shown = { id, version };
      if (fresh) {
        fill(root, closeLink(view, route), h("p", { class: "loading" }, "Loading…"));
        root.scrollTop = 0;
      }
      void read(id);
    },
  };
}

/** Leads back to the list. */
function closeLink(view: ViewName, route: Pick<Route, "params">): HTMLElement {
  const href = routeHash({ view, params: route.params });
  return h("a", { class: "close", attrs: { href, "aria-label": "Close the detail" } }, "✕");
}

/** The head of a detail: a way back, a title, actions. */
export function panelHead(view: ViewName, title: Child[], actions: Child[] = []): HTMLElement {
  // The close link keeps the filters that are in the address at the time of the click.
  const close = closeLink(view, { params: {} });
  close.addEventListener("click", (event) => {
    event.preventDefault();
    const query = location.hash.split("?", 2)[1];
    location.hash = `#/${view}${query ? `?${query}` : ""}`;
  });
  return h(
    "header",
    { class: "panel-head" },
    h("h2", {}, ...title),
    h("div", { class: "actions" }, ...actions, close),
  );
}

/** A titled part of a detail. */
export function part(title: string, ...children: Child[]): HTMLElement {
  return h("section", { class: "part" }, h("h3", {}, title), ...children);
}
