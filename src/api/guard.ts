// The caller check of every request, made before its body is read.

import type { Settings } from "../config/settings.ts";
import { type Access, includesScope, type Scope } from "./access.ts";
import type { BrowserSessions } from "./browser-sessions.ts";
import type { PeerLookup } from "./deps.ts";
import type { Listener } from "./listener.ts";
import { createOriginGuard } from "./origin-guard.ts";
import { HttpError } from "./problem.ts";
import type { Tokens } from "./tokens.ts";

const ROOT_UID = 0;

export interface GuardDeps {
  settings: Settings;
  tokens: Tokens;
  browsers: BrowserSessions;
  peerUid: PeerLookup;
  ownUid: number;
}

export interface Guard {
  /** Throws `HttpError` 401, 403 or 415 when this caller may not call. */
  check(request: Request, what: { access: Access; listener: Listener }): void;
  /** Whether this caller could call what needs `admin`. */
  isAdmin(request: Request, listener: Listener): boolean;
}

interface By {
  listener: Listener;
  deps: GuardDeps;
}

export function createGuard(deps: GuardDeps): Guard {
  const origins = createOriginGuard(deps.settings);
  return {
    check(request, { access, listener }) {
      origins.check(request, listener);
      if (access === "public") return;
      if (access === "local") checkLocal(request, { listener, deps });
      else checkScope(request, { needed: access, listener, deps });
    },
    isAdmin: (request, listener) => scopeOf(request, { listener, deps }) === "admin",
  };
}

/** Open nearby. An `Authorization` header is not looked at there: it may be meant for an upstream. */
function checkLocal(request: Request, { listener, deps }: By): void {
  if (listener.via(request) !== "network" || deps.settings.insecure) return;
  checkScope(request, { needed: "ingest", listener, deps });
}

function checkScope(request: Request, { needed, listener, deps }: By & { needed: Scope }): void {
  const held = scopeOf(request, { listener, deps });
  if (held === null) throw notSignedIn(presentedToken(request.headers) !== null);
  if (!includesScope(held, needed)) {
    throw new HttpError(
      { status: 403, code: "scope" },
      `Refused: the token has scope ${held}, this needs ${needed}`,
      { detail: { scope: held, needed } },
    );
  }
}

function scopeOf(request: Request, by: By): Scope | null {
  const token = presentedToken(request.headers);
  // A token that was presented is the answer, so that a caller can test one from anywhere.
  return token === null ? scopeWithoutToken(request, by) : by.deps.tokens.scopeOf(token);
}

function presentedToken(headers: Headers): string | null {
  const own = headers.get("x-observer-token");
  if (own !== null) return own.trim();
  const bearer = /^bearer\s+(.*)$/i.exec(headers.get("authorization") ?? "");
  return bearer?.[1]?.trim() ?? null;
}

function scopeWithoutToken(request: Request, { listener, deps }: By): Scope | null {
  if (deps.browsers.isSignedIn(request.headers.get("cookie"))) return "admin";
  return !deps.settings.require_token && isPeer(request, { listener, deps }) ? "admin" : null;
}

/** Root or observer's own user. The unix socket's mode, 0600, has the kernel check the same. */
function isPeer(request: Request, { listener, deps }: By): boolean {
  const via = listener.via(request);
  if (via !== "loopback") return via === "unix";
  const ends = listener.ends(request);
  const uid = ends && deps.peerUid(ends);
  return uid === ROOT_UID || (uid !== null && uid === deps.ownUid);
}

function notSignedIn(presented: boolean): HttpError {
  return new HttpError(
    { status: 401, code: "unauthorized" },
    presented
      ? "The token is not known to this observer"
      : "Needs root or observer's own user on this host, a token (Authorization: Bearer or X-Observer-Token), or the cookie of `observer open`",
    { headers: { "www-authenticate": "Bearer" } },
  );
}
