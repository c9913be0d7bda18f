// The token file: made at the first start, readable by its owner only.

import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf, ObserverError } from "../core/errors.ts";
import type { Settings } from "./settings.ts";

/** 256 bits, as a URL-safe word. */
const TOKEN_BYTES = 32;

/** Text of the token file; the default one is made when it is missing. */
export function readTokens(settings: Settings): string {
  const path = settings.token_file || join(settings.data_dir, "token");
  if (!settings.token_file && !existsSync(path)) {
    const token = Buffer.from(crypto.getRandomValues(new Uint8Array(TOKEN_BYTES)));
    writeFileSync(path, `${token.toString("base64url")}\n`, { mode: 0o600, flag: "wx" });
    chmodSync(path, 0o600);
  }
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new ObserverError("invalid", `Cannot read token file "${path}": ${messageOf(cause)}`, {
      cause,
    });
  }
}
