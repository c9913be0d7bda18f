// Ids on the command line: whole, a unique prefix, or `latest`.

import { ObserverError } from "../core/errors.ts";
import { ID_PATTERN } from "../core/ids.ts";
import type { Client } from "./client.ts";
import { text } from "./show.ts";
import type { Argument } from "./verb.ts";

export const ID_ARGUMENT: Argument = {
  name: "ID",
  required: true,
  check: (value) =>
    ID_PATTERN.test(value) ? null : "must be an id: small letters, digits and dashes",
};

/** Checkpoints looked at for the newest usable one. */
const LATEST_SCAN = "100";

/** The full id that `given` names. Errors: `not_found`; a prefix is left for the daemon to resolve. */
export async function checkpointId(client: Client, given: string): Promise<string> {
  if (given !== "latest") return given;
  const { items } = await client.list("/checkpoints", { limit: LATEST_SCAN });
  const usable = items.find((row) => row["status"] === "ok" || row["status"] === "partial");
  if (!usable)
    throw new ObserverError("not_found", "There is no checkpoint yet to be the latest one");
  return text(usable, "id");
}

export function checkpointPath(id: string, rest = ""): string {
  return `/checkpoints/${encodeURIComponent(id)}${rest}`;
}
