// The two shapes that most reads have: a page of rows, and one row by its id.

import { ObserverError } from "../../core/errors.ts";
import type { Endpoint } from "../access.ts";
import type { Reads } from "../deps.ts";
import { knownParameters, parseListQuery } from "../list-query.ts";
import { json, type Route } from "../route.ts";

type View = Record<string, unknown>;

/** A list with the common parameters; `fixed` gives the filters that the path sets. */
export function listRoute<T>(
  endpoint: Endpoint,
  source: {
    summary: string;
    rows: Pick<Reads<T>, "list">;
    view: (row: T) => View;
    fixed?: (params: Record<string, string>) => Record<string, string>;
  },
): Route {
  return {
    endpoint,
    summary: source.summary,
    list: true,
    async handle({ request, params }) {
      const page = await source.rows.list(parseListQuery(request.url, source.fixed?.(params)));
      return json({ items: page.items.map(source.view), next_cursor: page.nextCursor });
    },
  };
}

/** One row by `:id`; 404 names the noun and the id. */
export function getRoute<T>(
  endpoint: Endpoint,
  source: { summary: string; rows: Pick<Reads<T>, "get">; view: (row: T) => View; noun: string },
): Route {
  return {
    endpoint,
    summary: source.summary,
    handle({ request, params }) {
      knownParameters(request.url, []);
      const id = params["id"] ?? "";
      return json(source.view(found(source.rows.get(id), { noun: source.noun, id })));
    },
  };
}

/** The row; throws `not_found` where there is none. */
export function found<T>(row: T | null, what: { noun: string; id: string }): T {
  if (row !== null) return row;
  throw new ObserverError("not_found", `There is no ${what.noun} "${what.id.slice(0, 200)}"`);
}
