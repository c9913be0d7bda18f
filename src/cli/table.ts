// Aligned tables that fit the terminal: the flexible column gives way first, then the optional ones.

import { printable } from "../core/text.ts";
import type { Colour, Paint } from "./paint.ts";

export interface Column<Row> {
  title: string;
  value(row: Row): string;
  colour?(row: Row): Colour | null;
  right?: boolean;
  /** Takes what width is left, at least this many cells. */
  flexMin?: number;
  /** Left out when the table does not fit; the highest number goes first. */
  optional?: number;
}

const GAP = "  ";

/** Cells that `text` takes in a terminal. */
function widthOf(text: string): number {
  return Bun.stringWidth(text);
}

/** `text` cut to `width` cells, the cut marked; never through a character. */
export function fit(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let kept = "";
  let used = 0;
  for (const char of text) {
    const cells = widthOf(char);
    if (used + cells > width - 1) break;
    kept += char;
    used += cells;
  }
  return `${kept}…`;
}

interface Measured<Row> {
  column: Column<Row>;
  cells: string[];
  width: number;
}

/** The table as text with a trailing newline. Cell text is made printable here, so callers pass it raw. */
export function renderTable<Row>(
  rows: readonly Row[],
  options: { columns: readonly Column<Row>[]; width: number; paint: Paint },
): string {
  const { paint, width } = options;
  const measured = layout(rows, options.columns, width);
  const line = (cell: (column: Measured<Row>) => string): string =>
    `${measured.map(cell).join(GAP).trimEnd()}\n`;
  const last = measured.at(-1);
  const padded = (column: Measured<Row>, text: string): string => {
    const cut = fit(text, column.width);
    const space = " ".repeat(Math.max(0, column.width - widthOf(cut)));
    if (column.column.right) return space + cut;
    return column === last ? cut : cut + space;
  };
  let text = line((column) => paint("dim", padded(column, column.column.title)));
  for (const [index, row] of rows.entries()) {
    text += line((column) => {
      const shown = padded(column, column.cells[index] ?? "");
      const colour = column.column.colour?.(row);
      return colour ? paint(colour, shown) : shown;
    });
  }
  return text;
}

function layout<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  width: number,
): Measured<Row>[] {
  let shown = columns.map((column) => {
    const cells = rows.map((row) => printable(column.value(row)));
    const longest = Math.max(widthOf(column.title), ...cells.map(widthOf));
    return { column, cells, width: longest };
  });
  const least = (item: Measured<Row>): number =>
    item.column.flexMin === undefined ? item.width : Math.min(item.width, item.column.flexMin);
  const total = (of: (item: Measured<Row>) => number): number =>
    shown.reduce((sum, item) => sum + of(item), GAP.length * (shown.length - 1));
  while (total(least) > width) {
    const ranks = shown.map((item) => item.column.optional ?? 0);
    const highest = Math.max(...ranks);
    if (highest === 0) break;
    shown = shown.filter((_, index) => index !== ranks.indexOf(highest));
  }
  squeeze(shown, total((item) => item.width) - width);
  return shown;
}

/** Takes `excess` cells from the flexible columns: from those that may be left out first, the widest first. */
function squeeze<Row>(shown: Measured<Row>[], excess: number): void {
  const room = ({ width, column }: Measured<Row>): number => width - (column.flexMin ?? width);
  const widest = (among: Measured<Row>[]): Measured<Row> | null =>
    among.reduce<Measured<Row> | null>((a, b) => (a && a.width >= b.width ? a : b), null);
  for (let left = excess; left > 0; left -= 1) {
    const flexible = shown.filter((item) => room(item) > 0);
    const chosen = widest(flexible.filter(({ column }) => column.optional)) ?? widest(flexible);
    if (!chosen) return;
    chosen.width -= 1;
  }
}

/** "name  value" lines with aligned values; empty values are left out. */
export function renderFields(
  fields: readonly (readonly [name: string, value: string])[],
  options: { width: number; paint: Paint; indent?: string },
): string {
  const shown = fields.filter(([, value]) => value !== "");
  const longest = Math.max(0, ...shown.map(([name]) => name.length));
  const indent = options.indent ?? "";
  return shown
    .map(
      ([name, value]) => `${indent}${options.paint("dim", name.padEnd(longest))}${GAP}${value}\n`,
    )
    .join("");
}
