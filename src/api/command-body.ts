// The body of a command: a small object whose fields are all known.

import type { Static, TObject } from "@sinclair/typebox";
import { readText } from "./body.ts";
import type { ApiDeps } from "./deps.ts";
import { checkShape, parseJson } from "./json.ts";
import { knownParameters } from "./list-query.ts";
import type { Call } from "./route.ts";

/** The body as the schema says; an empty one means that no field is given. Throws `invalid`, `too_large`. */
export async function readCommand<S extends TObject>(
  call: Call,
  { deps, schema }: { deps: ApiDeps; schema: S },
): Promise<Static<S>> {
  knownParameters(call.request.url, []);
  const text = await readText(call.request, deps.settings["limits.body_bytes"]);
  const value = text.trim() === "" ? {} : parseJson(text, deps.settings["limits.depth"]);
  return checkShape(schema, value);
}
