// Ids on the command line: whole, a unique prefix, or `latest`.

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

/** The full id that `given` names. Errors: `not_found`; a prefix is left for the daemon to resolve. */
export async function checkpointId(client: Client, given: string): Promise<string> {
  return given === "latest" ? text(await client.get(checkpointPath(given)), "id") : given;
}

export function checkpointPath(id: string, rest = ""): string {
  return `/checkpoints/${encodeURIComponent(id)}${rest}`;
}
