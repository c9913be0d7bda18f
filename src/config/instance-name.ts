// The name of one observer on this host: what it makes outside of its data directory is called after that directory.

import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";

/** Enough that two data directories of one host never meet, short enough to read. */
const DIGITS = 8;

/** `observer-` and 8 hexadecimal digits. `dataDirectory` is absolute; it need not exist yet. */
export function instanceName(dataDirectory: string): string {
  const hash = createHash("sha256").update(realPath(dataDirectory)).digest("hex");
  return `observer-${hash.slice(0, DIGITS)}`;
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
