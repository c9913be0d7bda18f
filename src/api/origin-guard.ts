// Refuses what a foreign web page sends: by Host (DNS rebinding), Origin and Sec-Fetch-Site (CSRF).

import type { Settings } from "../config/settings.ts";
import { type Listener } from "./listener.ts";
import { isLoopbackName } from "./loopback.ts";
import { HttpError } from "./problem.ts";

/** Bounds the memo of `Host` values; a browser or client uses one or two. */
const HOSTS_REMEMBERED_MAX = 64;
const WILDCARDS = new Set(["", "0.0.0.0", "::"]);

export interface OriginGuard {
  /** Throws `HttpError` for a foreign caller. */
  check(request: Request, listener: Listener): void;
}

export function createOriginGuard(settings: Settings): OriginGuard {
  const isHostAllowed = createHostCheck(settings);
  return {
    check(request, listener) {
      const host = request.headers.get("host");
      if (listener.via(request) !== "unix" && (host === null || !isHostAllowed(host))) {
        throw refusal("host", `Host ${shown(host)} is not this observer; see allowed_hosts`);
      }
      checkFetchSite(request);
      const origin = request.headers.get("origin");
      if (origin === null) return;
      if (!isOwnOrigin(origin, { host, port: listener.port() })) {
        throw refusal("origin", `Origin ${shown(origin)} is foreign`);
      }
      checkContentType(request);
    },
  };
}

function refusal(code: string, message: string): HttpError {
  return new HttpError({ status: 403, code: `foreign_${code}` }, `Refused: ${message}`);
}

function shown(header: string | null): string {
  return header === null ? "(none)" : JSON.stringify(header.slice(0, 200));
}

function createHostCheck(settings: Settings): (host: string) => boolean {
  const configured = new Set(settings.allowed_hosts.map((host) => host.toLowerCase()));
  if (!WILDCARDS.has(settings.host)) {
    configured.add(
      settings.host.includes(":")
        ? `[${settings.host}]`.toLowerCase()
        : settings.host.toLowerCase(),
    );
  }
  const remembered = new Set<string>();
  return (header) => {
    if (remembered.has(header)) return true;
    const host = header.toLowerCase();
    const match = /^(\[[0-9a-f:.]+\]|[^\s:/@[\]]+)(?::\d{1,5})?$/.exec(host);
    const name = match?.[1];
    if (name === undefined) return false;
    const allowed = isLoopbackName(name) || configured.has(name) || configured.has(host);
    if (allowed && remembered.size < HOSTS_REMEMBERED_MAX) remembered.add(header);
    return allowed;
  };
}

// Browsers say this truthfully and pages cannot change it. `none` is an address that a person typed or opened
// from elsewhere than a page.
function checkFetchSite(request: Request): void {
  const site = request.headers.get("sec-fetch-site");
  if (site === null || site === "same-origin" || site === "none") return;
  throw refusal("site", `Sec-Fetch-Site is ${shown(site)}`);
}

/** The origin that the request was sent to, or loopback under another name on our own port. */
function isOwnOrigin(origin: string, own: { host: string | null; port: number | null }): boolean {
  if (own.host !== null) {
    const host = own.host.toLowerCase();
    if (origin === `http://${host}` || origin === `https://${host}`) return true;
  }
  if (own.port === null || !origin.startsWith("http://")) return false;
  const suffix = own.port === 80 ? "" : `:${own.port}`;
  if (!origin.endsWith(suffix)) return false;
  return isLoopbackName(origin.slice("http://".length, origin.length - suffix.length));
}

// Forms and other simple requests cannot send this type, so a page needs a preflight, which is refused.
function checkContentType(request: Request): void {
  if (request.method !== "POST") return;
  const type = request.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  if (type === "application/json") return;
  throw new HttpError(
    { status: 415, code: "content_type" },
    "A request with an Origin must say Content-Type: application/json",
  );
}
