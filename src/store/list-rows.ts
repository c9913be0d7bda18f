// One way to list a table: newest first, page by cursor, every shown field a filter that really filters.

import type { Database, SQLQueryBindings } from "bun:sqlite";
import { ObserverError } from "../core/errors.ts";
import type { ListQuery, Page } from "./query.ts";

export type FieldType = "text" | "number" | "boolean" | "time";

/** How a field of the API is found in the table. */
export interface Field {
  column: string;
  type: FieldType;
}

export interface Listing<T> {
  table: string;
  /** Column of the row's own time, for `since` and `until`. */
  timeColumn: string;
  fields: Record<string, Field>;
  read(row: Record<string, unknown>): T;
  /** A condition that holds for every page, e.g. that deleted rows are hidden. */
  always?: string;
}

/** One page of `listing`. @throws ObserverError `invalid` for an unknown filter, a bad value or cursor. */
export function listRows<T>(database: Database, listing: Listing<T>, query: ListQuery): Page<T> {
  const where = listing.always ? [listing.always] : [];
  const values: SQLQueryBindings[] = [];
  const add = (sql: string, value: SQLQueryBindings): void => {
    where.push(sql);
    values.push(value);
  };
  for (const [name, text] of Object.entries(query.filters)) {
    const field = listing.fields[name];
    if (!field) throw unknownFilter(name, Object.keys(listing.fields));
    if (text === "null") where.push(`${field.column} IS NULL`);
    else add(`${field.column} = ?`, filterValue(name, text, field.type));
  }
  if (query.sinceMs !== undefined) add(`${listing.timeColumn} >= ?`, query.sinceMs);
  if (query.untilMs !== undefined) add(`${listing.timeColumn} <= ?`, query.untilMs);
  if (query.cursor !== undefined) add("row < ?", cursorPosition(query.cursor));
  const sql = `SELECT * FROM ${listing.table}${where.length ? ` WHERE ${where.join(" AND ")}` : ""} ORDER BY row DESC LIMIT ${query.limit + 1}`;
  const rows = database.query(sql).all(...values) as Record<string, unknown>[];
  const shown = rows.slice(0, query.limit);
  const last = shown.at(-1);
  return {
    items: shown.map((row) => listing.read(row)),
    nextCursor: rows.length > query.limit && last ? String(last["row"]) : null,
  };
}

/** Names the filter and those that exist. */
export function unknownFilter(name: string, known: string[]): ObserverError {
  return new ObserverError(
    "invalid",
    `query parameter "${name}" is not a field of this list; filters are ${known.join(", ")}`,
    { detail: { field: name, rule: "must be a field of the list" } },
  );
}

/** A cursor is a position; anything else is refused. */
export function cursorPosition(cursor: string): number {
  if (!/^\d{1,15}$/.test(cursor)) {
    throw new ObserverError("invalid", `query parameter "cursor" is not one that was handed out`, {
      detail: { field: "cursor", value: cursor, rule: "must be a next_cursor" },
    });
  }
  return Number(cursor);
}

/** A filter's text as the column holds it; throws `invalid` when it is not of that type. */
export function filterValue(name: string, text: string, type: FieldType): SQLQueryBindings {
  const bad = (rule: string): ObserverError =>
    new ObserverError("invalid", `query parameter "${name}" ${rule}, got "${text}"`, {
      detail: { field: name, value: text, rule },
    });
  switch (type) {
    case "text":
      return text;
    case "boolean":
      if (text !== "true" && text !== "false") throw bad("must be true or false");
      return text === "true" ? 1 : 0;
    case "number": {
      const value = Number(text);
      if (text.trim() === "" || Number.isNaN(value)) throw bad("must be a number");
      return value;
    }
    case "time": {
      const value = /^\d+$/.test(text) ? Number(text) : Date.parse(text);
      if (Number.isNaN(value)) throw bad("must be an ISO 8601 time");
      return value;
    }
  }
}
