// What verbs print: JSON as the API gave it, tables for people, and hints where there is nothing.

import { printableJson } from "../core/text.ts";
import type { Call } from "./verb.ts";
import { createPaint, type Paint } from "./paint.ts";
import { renderTable, type Column } from "./table.ts";

export function paintOf(call: Pick<Call, "io">): Paint {
  return createPaint(call.io.colour);
}

/** Data for scripts, on standard output. */
export function printJson(call: Pick<Call, "io">, value: unknown): number {
  call.io.stdout(`${printableJson(JSON.stringify(value, null, 2))}\n`);
  return 0;
}

/** A table, or `empty` (what to do next) on standard error. */
export function printTable<Row>(
  call: Pick<Call, "io">,
  rows: readonly Row[],
  options: { columns: readonly Column<Row>[]; empty: string },
): void {
  if (rows.length === 0) {
    call.io.stderr(`${options.empty}\n`);
    return;
  }
  const { columns } = options;
  call.io.stdout(renderTable(rows, { columns, width: call.io.columns, paint: paintOf(call) }));
}
