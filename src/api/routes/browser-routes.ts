// The dashboard, the client module, and how a browser is signed in.

import { Type } from "@sinclair/typebox";
import { type BrowserSessions, CODE_LIFETIME_MS } from "../browser-sessions.ts";
import type { Settings } from "../../config/settings.ts";
import { knownParameters } from "../list-query.ts";
import type { Pages } from "../page.ts";
import { HttpError } from "../problem.ts";
import { type Call, json, type Route } from "../route.ts";

export interface BrowserDeps {
  settings: Settings;
  browsers: BrowserSessions;
  pages: Pages;
}

export function browserRoutes(deps: BrowserDeps): Route[] {
  return [
    {
      endpoint: "GET /",
      summary: "The dashboard.",
      contentType: "text/html",
      handle: ({ request }) => deps.pages.serve("/", request.headers),
    },
    {
      endpoint: "GET /client.js",
      summary: "ES module that records operations: observed() and postObserverEvent().",
      contentType: "application/javascript",
      handle: ({ request }) => deps.pages.serve("/client.js", request.headers),
    },
    {
      endpoint: "POST /session-codes",
      summary: "A one-time code that signs one browser in.",
      status: 201,
      answer: Type.Object({
        code: Type.String(),
        url: Type.String(),
        expires_in_s: Type.Integer(),
      }),
      handle: (call) => issueCode(call, deps),
    },
    {
      endpoint: "GET /open",
      summary: "Signs the browser in with a one-time code and shows the dashboard.",
      query: { code: "From POST /session-codes; valid once, for a minute." },
      status: 303,
      handle: (call) => signIn(call, deps.browsers),
    },
  ];
}

function issueCode({ request, listener }: Call, { settings, browsers }: BrowserDeps): Response {
  const code = browsers.issueCode();
  const port = listener.port();
  const named = settings.host !== "" && settings.host !== "0.0.0.0" && settings.host !== "::";
  const name = named ? settings.host : "localhost";
  const own = `${name.includes(":") ? `[${name}]` : name}${port === null ? "" : `:${port}`}`;
  // Over TCP the caller's own name for us works for it; over the socket there is none.
  const host = listener.via(request) === "unix" ? own : (request.headers.get("host") ?? own);
  return json(
    { code, url: `http://${host}/open?code=${code}`, expires_in_s: CODE_LIFETIME_MS / 1000 },
    { status: 201 },
  );
}

function signIn({ request }: Call, browsers: BrowserSessions): Response {
  const code = knownParameters(request.url, ["code"]).get("code") ?? "";
  // A program that only looks must not use the code up.
  if (request.method === "HEAD") return new Response(null, { status: 204 });
  const cookie = browsers.redeem(code);
  if (cookie === null) {
    throw new HttpError(
      { status: 403, code: "code" },
      "This code is used up, too old or unknown; run `observer open` again",
    );
  }
  return new Response(null, {
    status: 303,
    headers: {
      location: "/",
      "set-cookie": cookie,
      "cache-control": "no-store",
      "referrer-policy": "no-referrer",
    },
  });
}
