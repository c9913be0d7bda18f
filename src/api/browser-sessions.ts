// Browsers that were signed in: a one-time code becomes a cookie. Kept in memory; a restart signs out.

import { createHash, randomBytes } from "node:crypto";
import type { Clock } from "../core/clock.ts";

/** Name of the cookie. */
const COOKIE = "observer_session";
/** Long enough to click the printed URL, short enough that a leaked one is stale. */
export const CODE_LIFETIME_MS = 60_000;
/** One working day; then `observer open` again. */
const SESSION_LIFETIME_MS = 12 * 3_600_000;
/** Browsers of one machine; the oldest is signed out for the 101st. Codes have the same bound. */
const SESSIONS_MAX = 100;
/** 256 bits: not to be guessed within the lifetime of anything. */
const SECRET_BYTES = 32;

export interface BrowserSessions {
  /** A new one-time code. */
  issueCode(): string;
  /** The `Set-Cookie` value for a code that is valid and was not used; null otherwise. */
  redeem(code: string): string | null;
  /** True when a `Cookie` header carries a live session. */
  isSignedIn(cookieHeader: string | null): boolean;
}

export function createBrowserSessions(clock: Clock): BrowserSessions {
  // Keys are hashes: a lookup by hash tells nothing about how close a guess came.
  const codes = createExpiringSet(clock, CODE_LIFETIME_MS);
  const sessions = createExpiringSet(clock, SESSION_LIFETIME_MS);
  return {
    issueCode: () => codes.add(),
    redeem(code) {
      if (!codes.take(code)) return null;
      const maxAgeS = SESSION_LIFETIME_MS / 1000;
      return `${COOKIE}=${sessions.add()}; HttpOnly; SameSite=Strict; Path=/; Max-Age=${maxAgeS}`;
    },
    isSignedIn: (cookieHeader) =>
      cookieValues(cookieHeader).some((session) => sessions.has(session)),
  };
}

function createExpiringSet(clock: Clock, lifetimeMs: number) {
  const expiryByKey = new Map<string, number>();
  const isLive = (expiry: number | undefined): boolean =>
    expiry !== undefined && expiry > clock.monotonic();
  return {
    add(): string {
      const secret = randomBytes(SECRET_BYTES).toString("base64url");
      for (const [key, expiry] of expiryByKey) {
        // In order of age, because all live equally long.
        if (isLive(expiry) && expiryByKey.size < SESSIONS_MAX) break;
        expiryByKey.delete(key);
      }
      expiryByKey.set(keyOf(secret), clock.monotonic() + lifetimeMs);
      return secret;
    },
    has: (secret: string): boolean => isLive(expiryByKey.get(keyOf(secret))),
    take(secret: string): boolean {
      const key = keyOf(secret);
      const live = isLive(expiryByKey.get(key));
      expiryByKey.delete(key);
      return live;
    },
  };
}

function keyOf(secret: string): string {
  return createHash("sha256").update(secret).digest("base64url");
}

function cookieValues(header: string | null): string[] {
  if (header === null) return [];
  return header
    .split(";")
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${COOKIE}=`))
    .map((pair) => pair.slice(COOKIE.length + 1));
}
