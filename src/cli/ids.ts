// Ids on the command line: whole, a unique prefix, or `latest`.

import { dirname } from "node:path";
import { ObserverError } from "../core/errors.ts";
import { ID_PATTERN } from "../core/ids.ts";
import type { Client } from "./client.ts";
import { text } from "./show.ts";
import type { Argument, Call } from "./verb.ts";

export const ID_ARGUMENT: Argument = {
  name: "ID",
  required: true,
  check: (value) =>
    ID_PATTERN.test(value) ? null : "must be an id: small letters, digits and dashes",
};

/** Checkpoints looked at for the newest usable one. */
const LATEST_SCAN = "100";

/**
 * The full id that `given` names. `latest` is the newest usable one of the workspace that the caller stands
 * in, else of all: in one's own project, that of another one is never what was meant.
 * Errors: `not_found`; a prefix is left for the daemon to resolve.
 */
export async function checkpointId(
  call: Pick<Call, "client" | "io">,
  given: string,
): Promise<string> {
  if (given !== "latest") return given;
  const client = call.client();
  for (let at = call.io.cwd; at !== dirname(at); at = dirname(at)) {
    const own = await newestUsable(client, { workspace: at });
    if (own !== null) return own;
  }
  const newest = await newestUsable(client, {});
  if (newest === null)
    throw new ObserverError("not_found", "There is no checkpoint yet to be the latest one");
  return newest;
}

async function newestUsable(client: Client, query: { workspace?: string }): Promise<string | null> {
  const { items } = await client.list("/checkpoints", { ...query, limit: LATEST_SCAN });
  // The safety copies of restores are not meant: restoring the latest twice would undo the first time.
  const usable = items.find(
    (row) => row["kind"] !== "safety" && (row["status"] === "ok" || row["status"] === "partial"),
  );
  return usable ? text(usable, "id") : null;
}

export function checkpointPath(id: string, rest = ""): string {
  return `/checkpoints/${encodeURIComponent(id)}${rest}`;
}
