// Query strings: page requests of lists, and the few named parameters of other endpoints.

import { ObserverError } from "../core/errors.ts";
import type { ListQuery } from "../store/query.ts";

/** The contract's page sizes. */
const LIMIT_DEFAULT = 100;
export const LIMIT_MAX = 1_000;

/** Parameters of a query string by name; throws `invalid` for one that is given twice. */
export function singleParameters(url: string): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const [name, value] of new URL(url).searchParams) {
    if (parameters.has(name)) throw invalid(name, "is given more than once", value);
    parameters.set(name, value);
  }
  return parameters;
}

/** Parameters of an endpoint that knows only these; throws `invalid` for any other. */
export function knownParameters(url: string, allowed: readonly string[]): Map<string, string> {
  const parameters = singleParameters(url);
  for (const [name, value] of parameters) {
    if (allowed.includes(name)) continue;
    const known = allowed.length === 0 ? "none" : allowed.join(", ");
    throw invalid(name, `is not a parameter here (${known})`, value);
  }
  return parameters;
}

/** A page request. `fixed` are filters that the path already sets. Unknown filters are refused by the store. */
export function parseListQuery(url: string, fixed: Record<string, string> = {}): ListQuery {
  const query: ListQuery = { limit: LIMIT_DEFAULT, filters: { ...fixed } };
  for (const [name, value] of singleParameters(url)) {
    if (name === "limit") query.limit = parseLimit(value);
    else if (name === "cursor") query.cursor = value;
    else if (name === "since") query.sinceMs = parseTime(name, value);
    else if (name === "until") query.untilMs = parseTime(name, value);
    else if (Object.hasOwn(fixed, name)) throw invalid(name, "is set by the path already", value);
    else query.filters[name] = value;
  }
  return query;
}

function parseLimit(value: string): number {
  const limit = /^\d{1,6}$/.test(value) ? Number(value) : 0;
  if (limit < 1 || limit > LIMIT_MAX) {
    throw invalid("limit", `must be a whole number from 1 to ${LIMIT_MAX}`, value);
  }
  return limit;
}

const ISO_TIME = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?$/;

/** ISO 8601 (UTC where it names no zone) or milliseconds since the epoch. */
function parseTime(name: string, value: string): number {
  if (/^\d{1,15}$/.test(value)) return Number(value);
  // A plus that was not percent-encoded arrives as a space.
  const text = value.replace(" ", "+");
  const match = ISO_TIME.exec(text);
  const ms = match ? Date.parse(text.includes("T") && !match[1] ? `${text}Z` : text) : Number.NaN;
  if (Number.isNaN(ms)) {
    throw invalid(name, "must be an ISO 8601 time or milliseconds since the epoch", value);
  }
  return ms;
}

function invalid(parameter: string, rule: string, value: string): ObserverError {
  return new ObserverError("invalid", `Cannot use parameter "${parameter}": it ${rule}`, {
    detail: { field: parameter, value: value.slice(0, 200), rule },
  });
}
