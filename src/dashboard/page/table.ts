// A list as a table: rows keep their elements, each row is one link, j and k move between them.

import { h, type Child } from "./dom.ts";

export interface Column<Row> {
  title: string;
  /** Class of the column's cells: `num` right-aligned, `wide` takes the rest, `opt` hidden on narrow screens. */
  class?: string;
  cell(row: Row): Child;
}

export interface TableOptions<Row> {
  /** What the table lists, for screen readers. */
  caption: string;
  columns: readonly Column<Row>[];
  key(row: Row): string;
  /** Where the row leads; the link is in the column with class `wide`. */
  href(row: Row): string | null;
  /** More classes of a row. */
  rowClass?(row: Row): string;
}

export interface Table<Row> {
  root: HTMLElement;
  update(rows: readonly Row[], selected: string | null): void;
}

/** More rows than this are no reading matter; the filter finds the others. */
const ROWS_SHOWN = 300;

export function createTable<Row>(options: TableOptions<Row>): Table<Row> {
  const body = h("tbody");
  const made = new Map<string, { row: Row; element: HTMLTableRowElement }>();
  const head = options.columns.map((column) =>
    h("th", { class: column.class, attrs: { scope: "col" } }, column.title),
  );
  const root = h(
    "table",
    {},
    h("caption", { class: "hidden" }, options.caption),
    h("thead", {}, h("tr", {}, ...head)),
    body,
  );

  const elementOf = (row: Row): HTMLTableRowElement => {
    const key = options.key(row);
    const known = made.get(key);
    if (known?.row === row) return known.element;
    const element = rowElement(row, options);
    made.set(key, { row, element });
    return element;
  };

  return {
    root,
    update(rows, selected) {
      const shown = rows.slice(0, ROWS_SHOWN);
      const focused = document.activeElement?.closest("tr")?.dataset["key"];
      const elements = shown.map(elementOf);
      place(body, elements);
      const keys = new Set(shown.map((row) => options.key(row)));
      for (const key of made.keys()) if (!keys.has(key)) made.delete(key);
      for (const element of elements) mark(element, selected);
      // A row that was made anew under the cursor keeps the cursor.
      if (
        focused &&
        !body.contains(document.activeElement) &&
        document.activeElement === document.body
      ) {
        body.querySelector<HTMLElement>(`tr[data-key="${CSS.escape(focused)}"] a`)?.focus();
      }
    },
  };
}

function rowElement<Row>(row: Row, options: TableOptions<Row>): HTMLTableRowElement {
  const href = options.href(row);
  const cells = options.columns.map((column) => {
    const content = column.cell(row);
    const linked = href !== null && column.class?.includes("wide");
    return h(
      "td",
      { class: column.class },
      linked ? h("a", { class: "row-link", attrs: { href } }, content) : content,
    );
  });
  const element = h("tr", { class: options.rowClass?.(row) }, ...cells);
  element.dataset["key"] = options.key(row);
  if (href === null) return element;
  element.classList.add("linked");
  element.addEventListener("click", (event) => {
    const inner = event.target instanceof Element && event.target.closest("a, button");
    if (!inner && getSelection()?.isCollapsed !== false) location.hash = href;
  });
  return element;
}

function mark(element: HTMLTableRowElement, selected: string | null): void {
  if (element.dataset["key"] === selected) element.setAttribute("aria-current", "true");
  else element.removeAttribute("aria-current");
}

/** Makes `elements` the children of `body`, touching only what moved. */
function place(body: HTMLElement, elements: readonly HTMLElement[]): void {
  const wanted = new Set(elements);
  for (const child of Array.from(body.children))
    if (!wanted.has(child as HTMLElement)) child.remove();
  let next = body.firstElementChild;
  for (const element of elements) {
    if (element === next) next = next.nextElementSibling;
    else body.insertBefore(element, next);
  }
}

/** Moves the cursor by `step` rows within `scope`. */
export function moveCursor(scope: ParentNode, step: number): void {
  const links = [...scope.querySelectorAll<HTMLElement>("a.row-link")];
  const current = links.findIndex((link) => link.closest("tr")?.contains(document.activeElement));
  const selected = links.findIndex((link) => link.closest("tr")?.hasAttribute("aria-current"));
  const from = current === -1 ? selected : current;
  const next = links[Math.max(0, Math.min(links.length - 1, from + step))];
  next?.focus();
  next?.closest("tr")?.scrollIntoView({ block: "nearest" });
}

/** A name with its value, in a definition list; empty values are left out. */
export function facts(pairs: readonly (readonly [string, Child])[]): HTMLElement {
  const list = h("dl", { class: "facts" });
  for (const [name, value] of pairs) {
    if (value === null || value === undefined || value === false || value === "") continue;
    list.append(h("div", {}, h("dt", {}, name), h("dd", {}, value)));
  }
  return list;
}
