// Puts the client module into the program as text while the program is bundled.

import { readFileSync } from "node:fs";
import { join } from "node:path";

/** A macro: called by Bun's transpiler; in the program only its answer is left. */
export function clientSource(): string {
  return readFileSync(join(import.meta.dir, "client.js"), "utf8");
}
