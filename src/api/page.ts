// The dashboard's files over HTTP: strict headers, compressed, cached by content.

import type { ApiDeps } from "./deps.ts";

type Asset = {
  body: Uint8Array<ArrayBuffer>;
  type: string;
  gzip: Uint8Array<ArrayBuffer>;
  etag: string;
};

/** The page runs only its own files, talks only to its own origin and is never framed. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const PAGE_HEADERS = {
  "content-security-policy": CONTENT_SECURITY_POLICY,
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
};

export interface Pages {
  has(path: string): boolean;
  /** The file, or 304 when the caller has it. */
  serve(path: string, headers: Headers): Response;
}

export function createPages(assets: ApiDeps["assets"]): Pages {
  const prepared = new Map<string, Asset>();
  const prepare = (path: string): Asset | undefined => {
    const known = prepared.get(path);
    const asset = assets.get(path);
    if (known || !asset) return known;
    const body = Uint8Array.from(asset.body);
    const made = {
      body,
      type: asset.type,
      gzip: asset.gzip ? Uint8Array.from(asset.gzip) : Bun.gzipSync(body),
      etag: Bun.hash(body).toString(36),
    };
    prepared.set(path, made);
    return made;
  };
  return {
    has: (path) => assets.has(path),
    serve(path, headers) {
      const asset = prepare(path);
      return asset ? respond(asset, headers) : missing();
    },
  };
}

function respond(asset: Asset, headers: Headers): Response {
  const zipped = acceptsGzip(headers.get("accept-encoding"));
  const etag = `"${asset.etag}${zipped ? "-gz" : ""}"`;
  const answer: Record<string, string> = {
    ...PAGE_HEADERS,
    "content-type": asset.type,
    // Asked for again each time, answered with 304: a new binary must never meet an old page.
    "cache-control": "no-cache",
    vary: "Accept-Encoding",
    etag,
  };
  const held = headers.get("if-none-match")?.split(",") ?? [];
  if (held.some((one) => one.trim().replace(/^W\//, "") === etag)) {
    return new Response(null, { status: 304, headers: answer });
  }
  if (zipped) answer["content-encoding"] = "gzip";
  return new Response(zipped ? asset.gzip : asset.body, { headers: answer });
}

function acceptsGzip(header: string | null): boolean {
  return (header ?? "")
    .split(",")
    .some((part) => /^\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*$).*)?$/i.test(part));
}

function missing(): Response {
  return new Response("This build of observer has no dashboard.\n", {
    status: 404,
    headers: { ...PAGE_HEADERS, "content-type": "text/plain; charset=utf-8" },
  });
}

/** What a person who is not signed in sees instead of an error object. */
export function signInPage(): Response {
  const html = `<!doctype html><html lang="en"><meta charset="utf-8"><title>observer</title>
<h1>Not signed in</h1><p>Run <code>observer open</code> as root or as observer's own user on this host, and open the address that it prints.</p></html>`;
  return new Response(html, {
    status: 401,
    headers: {
      ...PAGE_HEADERS,
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-store",
      "www-authenticate": "Bearer",
    },
  });
}
