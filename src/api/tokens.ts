// The token file: what it may say, and the comparison that does not tell how much of a guess was right.

import { createHash, timingSafeEqual } from "node:crypto";
import { ObserverError } from "../core/errors.ts";
import { includesScope, type Scope, SCOPES } from "./access.ts";

export interface Tokens {
  /** The widest scope that this token has; null when it is none of the known ones. */
  scopeOf(token: string): Scope | null;
}

/**
 * Reads the text of a token file: one token a line, `read:…` and `ingest:…` for the smaller scopes, anything
 * else is an admin token (also `admin:…`). Blank lines and lines with `#` first do not count.
 * Throws `invalid` for a line that could never be sent as a header, without quoting it.
 */
export function parseTokens(text: string): Tokens {
  const known: { digest: Buffer; scope: Scope }[] = [];
  text.split("\n").forEach((line, at) => {
    const entry = line.trim();
    if (entry === "" || entry.startsWith("#")) return;
    const scope = SCOPES.find((name) => entry.startsWith(`${name}:`));
    const token = scope ? entry.slice(scope.length + 1) : entry;
    if (!/^[\x21-\x7e]+$/.test(token)) {
      throw new ObserverError(
        "invalid",
        `Cannot use the token on line ${at + 1} of the token file: it must be printable ASCII without spaces`,
      );
    }
    known.push({ digest: digest(token), scope: scope ?? "admin" });
  });
  return {
    scopeOf(token) {
      const presented = digest(token);
      let found: Scope | null = null;
      // Every token is compared, so that the time taken does not depend on which one fits.
      for (const { digest, scope } of known) {
        if (!timingSafeEqual(digest, presented)) continue;
        if (found === null || includesScope(scope, found)) found = scope;
      }
      return found;
    },
  };
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
