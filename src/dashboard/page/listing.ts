// A toolbar with a filter over a table: the left half of every view.

import { fill, h, type Child } from "./dom.ts";
import { emptyState, nothingMatches } from "./empty.ts";
import { icon } from "./marks.ts";
import type { Route, ViewName } from "./route.ts";
import { createTable, type TableOptions } from "./table.ts";
import type { ViewContext } from "./view.ts";

export interface Choice {
  param: string;
  label: string;
  values: readonly (readonly [value: string, text: string])[];
}

export interface ListingOptions<Row> extends TableOptions<Row> {
  view: ViewName;
  title: string;
  /** Text that the filter looks in. */
  haystack(row: Row): string;
  /** Choices beside the filter: a parameter of the address with its values, the first one being no filter. */
  choices?: readonly Choice[];
  /** More controls in the toolbar. */
  extras?: readonly Child[];
}

export interface Listing<Row> {
  root: HTMLElement;
  draw(rows: readonly Row[], route: Route): void;
}

export function createListing<Row>(
  options: ListingOptions<Row>,
  context: ViewContext,
): Listing<Row> {
  const table = createTable(options);
  const counter = h("span", { class: "dim num", attrs: { "aria-live": "off" } });
  const search = h("input", {
    class: "search",
    attrs: { type: "search", placeholder: "Filter  /", "aria-label": `Filter ${options.title}` },
  });
  let params: Record<string, string> = {};
  search.addEventListener("input", () => context.setParams({ ...params, q: search.value }));
  const selects = (options.choices ?? []).map(({ param, label, values }) => {
    const select = h(
      "select",
      { attrs: { "aria-label": label } },
      ...values.map(([value, text]) => h("option", { attrs: { value } }, text)),
    );
    select.addEventListener("change", () =>
      context.setParams({ ...params, [param]: select.value }),
    );
    return { param, select };
  });
  const body = h("div", { class: "scroll" });
  const root = h(
    "section",
    { class: "listing", attrs: { "aria-label": options.title } },
    h(
      "div",
      { class: "toolbar" },
      h("h2", {}, icon(options.view), options.title),
      counter,
      h("span", { class: "gap" }),
      ...(options.extras ?? []),
      ...selects.map(({ select }) => select),
      search,
    ),
    body,
  );

  return {
    root,
    draw(rows, route) {
      params = route.params;
      const query = params["q"] ?? "";
      if (document.activeElement !== search) search.value = query;
      for (const { param, select } of selects) select.value = params[param] ?? "";
      const terms = query.toLowerCase().split(/\s+/).filter(Boolean);
      const shown = rows.filter((row) => {
        const text = terms.length > 0 ? options.haystack(row).toLowerCase() : "";
        return terms.every((term) => text.includes(term));
      });
      counter.textContent =
        shown.length === rows.length ? `${rows.length}` : `${shown.length} of ${rows.length}`;
      table.update(shown, route.id);
      const filtered = Object.values(params).some(Boolean);
      if (shown.length > 0) {
        if (table.root.parentElement !== body) fill(body, table.root);
      } else if (filtered)
        fill(
          body,
          nothingMatches(() => context.setParams({})),
        );
      else fill(body, emptyState(options.view));
    },
  };
}
