// `observer stats`: counts of the operations seen.

import type { Json } from "../client.ts";
import { CLIENT_FLAGS, JSON_FLAG } from "../flags.ts";
import { paintOf, printJson, printTable } from "../output.ts";
import { line, object, text } from "../show.ts";
import { renderFields } from "../table.ts";
import type { Verb } from "../verb.ts";

export const statsVerb: Verb = {
  name: "stats",
  group: "Look",
  summary: "counts of the operations seen, recent and all-time",
  flags: [JSON_FLAG, ...CLIENT_FLAGS],
  examples: ["observer stats", "observer stats --json | jq .by_source"],
  async run(call) {
    const stats = await call.client().get("/stats");
    if (call.flags.on("json")) return printJson(call, stats);
    const counts = (of: Json): string =>
      `${line(of, "total")} operations, ${line(of, "successes")} good, ${line(of, "failures")} failed`;
    const fields: [string, string][] = [["recent", counts(stats)]];
    if (stats["all_time"]) fields.push(["all time", counts(object(stats, "all_time"))]);
    call.io.stdout(renderFields(fields, { width: call.io.columns, paint: paintOf(call) }));
    const sources = Object.entries(object(stats, "by_source"));
    printTable(call, sources, {
      columns: [
        { title: "SOURCE", value: ([source]) => source, flexMin: 10 },
        {
          title: "OPERATIONS",
          right: true,
          value: ([source]) => text(object(stats, "by_source"), source),
        },
      ],
      empty:
        "No operations yet. Send one:\n" +
        `  curl -d '{"endpoint":"try","success":true}' http://127.0.0.1:3800/event`,
    });
    return 0;
  },
};
