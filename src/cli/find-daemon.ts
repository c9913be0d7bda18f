// Where the daemon is and what lets us in: flags, then environment, then the data directory, then the port.

import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { messageOf } from "../core/errors.ts";
import type { CliIo } from "./io.ts";
import { UsageError } from "./usage.ts";

const PORT_DEFAULT = "3800";
const SOCKET_NAME = "observer.sock";
const TOKEN_NAME = "token";

/** One way to the daemon. `unix` is the socket; the URL then only names the host for the request line. */
export interface Route {
  url: string;
  unix?: string;
  token?: string;
}

export interface WhereFlags {
  url?: string | undefined;
  data?: string | undefined;
  tokenFile?: string | undefined;
}

type Caller = Pick<CliIo, "env" | "cwd" | "uid">;

/** The data directory that a daemon started by this caller would use; absolute. */
export function dataDirectory(caller: Caller, data?: string): string {
  const { env } = caller;
  const named = data ?? (env["OBSERVER_DATA_DIR"] || env["STATE_DIRECTORY"]);
  // systemd separates several state directories with colons; the first one is ours.
  if (named) return resolve(caller.cwd, data ? named : (named.split(":")[0] ?? named));
  if (caller.uid === 0) return "/var/lib/observer";
  return join(env["XDG_STATE_HOME"] || join(env["HOME"] || homedir(), ".local/state"), "observer");
}

/** Ways to try, best first. Later ones are tried only when an earlier one refuses the connection. */
export function daemonRoutes(caller: Caller, flags: WhereFlags): Route[] {
  const { env } = caller;
  const dataDir = dataDirectory(caller, flags.data);
  const explicit = explicitToken(caller, flags);
  const named = flags.url ?? (env["OBSERVER_URL"] || undefined);
  if (named) {
    // The data directory's token belongs to the daemon of this host; it is not shown to another one.
    const token =
      explicit ?? (isLoopback(named) ? readToken(join(dataDir, TOKEN_NAME)) : undefined);
    return [route(named.replace(/\/+$/, ""), token)];
  }
  const token = explicit ?? readToken(join(dataDir, TOKEN_NAME));
  const tcp = route(`http://127.0.0.1:${env["OBSERVER_PORT"] || PORT_DEFAULT}`, token);
  const socket = join(dataDir, SOCKET_NAME);
  const local = { ...route("http://localhost", token), unix: socket };
  // A data directory that was named on purpose must not lead to the daemon of another one.
  if (flags.data) return [local];
  return existsSync(socket) ? [local, tcp] : [tcp];
}

function route(url: string, token: string | undefined): Route {
  return token === undefined ? { url } : { url, token };
}

function explicitToken(caller: Caller, flags: WhereFlags): string | undefined {
  const { env } = caller;
  if (flags.tokenFile)
    return readTokenOrThrow(resolve(caller.cwd, flags.tokenFile), "--token-file");
  if (env["OBSERVER_TOKEN"]) return env["OBSERVER_TOKEN"];
  const file = env["OBSERVER_TOKEN_FILE"];
  return file ? readTokenOrThrow(resolve(caller.cwd, file), "OBSERVER_TOKEN_FILE") : undefined;
}

function readTokenOrThrow(path: string, field: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (thrown) {
    throw new UsageError([{ field, value: path, rule: `cannot be read: ${messageOf(thrown)}` }]);
  }
}

/** Undefined where it cannot be read: root and the daemon's own user need no token on the socket. */
function readToken(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim() || undefined;
  } catch {
    return undefined;
  }
}

function isLoopback(url: string): boolean {
  const { hostname } = new URL(url);
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d+){3}$/.test(hostname);
}
