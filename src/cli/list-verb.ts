// Makes the verbs that list one resource of the API: filters in, a table out.

import type { Json, Page, Query } from "./client.ts";
import { CLIENT_FLAGS, JSON_FLAG, LIST_FLAGS } from "./flags.ts";
import { printJson, printTable } from "./output.ts";
import { timeArgument } from "./show.ts";
import type { Column } from "./table.ts";
import type { Call, Flag, Verb } from "./verb.ts";

const LIMIT_DEFAULT = "20";

/** A flag that becomes a query parameter. */
export interface FilterFlag extends Flag {
  value: string;
  field: string;
}

export interface ListSpec {
  path: string;
  filters: readonly FilterFlag[];
  columns(call: Call): readonly Column<Json>[];
  /** Printed when nothing was found: what to do next. */
  empty: string;
}

/** The query parameters that the call's flags mean. */
export function listQuery(call: Call, filters: readonly FilterFlag[]): Query {
  const { flags } = call;
  const now = call.io.clock.now();
  const query: Query = {
    limit: flags.text("limit") ?? LIMIT_DEFAULT,
    cursor: flags.text("cursor"),
    since: timeArgument(flags.text("since"), now),
    until: timeArgument(flags.text("until"), now),
  };
  for (const filter of filters) {
    const value = flags.text(filter.name);
    if (value !== undefined) query[filter.field] = value;
  }
  for (const pair of flags.all("filter")) {
    const split = pair.indexOf("=");
    query[pair.slice(0, split)] = pair.slice(split + 1);
  }
  return query;
}

/** Prints one page: JSON as it came, or the table and how to go on. */
export function printPage(call: Call, page: Page, spec: ListSpec): number {
  if (call.flags.on("json")) return printJson(call, page);
  printTable(call, page.items, { columns: spec.columns(call), empty: spec.empty });
  if (page.next_cursor !== null && page.items.length > 0) {
    call.io.stderr(`more: add --cursor ${page.next_cursor}, or a higher --limit\n`);
  }
  return 0;
}

export function listFlags(filters: readonly FilterFlag[]): Flag[] {
  return [...filters, ...LIST_FLAGS, JSON_FLAG, ...CLIENT_FLAGS];
}

/** A verb that only lists. */
export function createListVerb(verb: Omit<Verb, "flags" | "run" | "group">, spec: ListSpec): Verb {
  return {
    ...verb,
    group: "Look",
    flags: listFlags(spec.filters),
    async run(call) {
      const page = await call.client().list(spec.path, listQuery(call, spec.filters));
      return printPage(call, page, spec);
    },
  };
}

export const filters = {
  session: { name: "session", value: "ID", field: "session_id", help: "Only this session." },
  agent: { name: "agent", value: "NAME", field: "agent", help: "Only this kind of agent." },
  workspace: { name: "workspace", value: "DIR", field: "workspace", help: "Only this workspace." },
} as const satisfies Record<string, FilterFlag>;
