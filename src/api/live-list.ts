// Lists of things that live in memory, with the same parameters as the lists of the store.

import { ObserverError } from "../core/errors.ts";
import { type FieldType, filterValue, unknownFilter } from "../store/list-rows.ts";
import type { ListQuery } from "../store/query.ts";

type View = Record<string, unknown>;

export interface LiveListing {
  fields: Record<string, FieldType>;
  /** Field with the row's own time, ISO 8601, for `since` and `until`. */
  timeField: string;
  /** Orders the rows and names a place among them; greater is newer. Unique. */
  position(row: View): string;
}

/** One page of `rows`, newest first. @throws ObserverError `invalid` for an unknown filter or a bad value. */
export function listLive(
  rows: readonly View[],
  listing: LiveListing,
  query: ListQuery,
): { items: View[]; next_cursor: string | null } {
  const { sinceMs = -Infinity, untilMs = Infinity, cursor } = query;
  if (cursor !== undefined && !/^[0-9-]{1,40}$/.test(cursor)) {
    throw new ObserverError("invalid", 'query parameter "cursor" is not one that was handed out', {
      detail: { field: "cursor", value: cursor.slice(0, 200), rule: "must be a next_cursor" },
    });
  }
  const tests = Object.entries(query.filters).map(([name, text]) => filterOf(name, text, listing));
  const matching = rows
    .filter((row) => {
      const atMs = Date.parse(String(row[listing.timeField]));
      return atMs >= sinceMs && atMs <= untilMs && tests.every((matches) => matches(row));
    })
    .map((row) => ({ row, position: listing.position(row) }))
    .filter(({ position }) => cursor === undefined || position < cursor)
    .sort((a, b) => (a.position < b.position ? 1 : -1));
  const page = matching.slice(0, query.limit);
  const last = page.at(-1);
  return {
    items: page.map(({ row }) => row),
    next_cursor: last && matching.length > page.length ? last.position : null,
  };
}

function filterOf(name: string, text: string, { fields }: LiveListing): (row: View) => boolean {
  const type = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (type === undefined) throw unknownFilter(name, Object.keys(fields));
  if (text === "null") return (row) => row[name] === null;
  const wanted = filterValue(name, text, type);
  if (type === "time") return (row) => Date.parse(String(row[name])) === wanted;
  if (type === "boolean") return (row) => (row[name] === true ? 1 : 0) === wanted;
  return (row) => row[name] === wanted;
}
