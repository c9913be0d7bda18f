// The HTTP surface: every route behind one guard, every error in one shape, in one Elysia app.

import { Elysia } from "elysia";
import { messageOf } from "../core/errors.ts";
import { newId } from "../core/ids.ts";
import { ACCESS, type Access, ASSET_ACCESS } from "./access.ts";
import { type BrowserSessions, createBrowserSessions } from "./browser-sessions.ts";
import type { ApiDeps } from "./deps.ts";
import { createGuard, type Guard } from "./guard.ts";
import { bindListener, listenerOf } from "./listener.ts";
import { openApiOf } from "./openapi.ts";
import { createPages, type Pages, signInPage } from "./page.ts";
import { HttpError, problemResponse, refusalOf } from "./problem.ts";
import { json, type Route } from "./route.ts";
import { agentRoutes } from "./routes/agent-routes.ts";
import { browserRoutes } from "./routes/browser-routes.ts";
import { checkpointRoutes } from "./routes/checkpoint-routes.ts";
import { retentionRoutes } from "./routes/retention-routes.ts";
import { eventRoutes } from "./routes/event-routes.ts";
import { hookRoutes } from "./routes/hook-routes.ts";
import { hostRoutes } from "./routes/host-routes.ts";
import { operationRoutes } from "./routes/operation-routes.ts";
import { runRoutes } from "./routes/run-routes.ts";
import { interruptionRoutes, sessionRoutes } from "./routes/session-routes.ts";
import { statusRoutes } from "./routes/status-routes.ts";
import { createStreamHub, type StreamHub } from "./stream-hub.ts";
import { parseTokens } from "./tokens.ts";

export interface Api {
  /** Answers one request; which listener it came by is said with `bindListener` before. Never rejects. */
  handle(request: Request): Promise<Response>;
  /** Everything that is served beside the dashboard's files. */
  routes: Route[];
  /** Ends the live streams; other requests in flight are not touched. */
  close(): void;
}

/** Throws `invalid` when the token file cannot be used. */
export function createApi(deps: ApiDeps): Api {
  const browsers = createBrowserSessions(deps.clock);
  const guard = createGuard({
    settings: deps.settings,
    tokens: parseTokens(deps.tokens),
    browsers,
    peerUid: deps.peerUid,
    ownUid: deps.ownUid,
  });
  const pages = createPages(deps.assets);
  const hub = createStreamHub(deps);
  const routes = createRoutes(deps, { browsers, guard, pages, hub });
  const app = new Elysia({ name: "observer" });
  for (const route of routes) addRoute(app, route, { deps, guard });
  addOtherMethods(app, routes, { deps, guard });
  addFallback(app, pages, { deps, guard });
  return {
    handle: (request) => Promise.resolve(app.handle(routable(request))),
    routes,
    close: () => hub.close(),
  };
}

function createRoutes(
  deps: ApiDeps,
  parts: { browsers: BrowserSessions; guard: Guard; pages: Pages; hub: StreamHub },
): Route[] {
  const routes: Route[] = [
    ...operationRoutes(deps),
    ...eventRoutes(deps, parts.guard),
    ...hookRoutes(deps),
    ...sessionRoutes(deps),
    ...interruptionRoutes(deps),
    ...checkpointRoutes(deps),
    ...agentRoutes(deps),
    ...runRoutes(deps),
    ...hostRoutes(deps),
    ...retentionRoutes(deps),
    ...statusRoutes(deps, parts.hub),
    ...browserRoutes({ settings: deps.settings, ...parts }),
  ];
  const document: Route = {
    endpoint: "GET /openapi.json",
    summary: "This description.",
    handle: () => json(openApiOf([...routes, document], deps.build)),
  };
  return [...routes, document];
}

interface Surroundings {
  deps: ApiDeps;
  guard: Guard;
}

/** What Elysia hands over; only these two are used, so that it computes nothing else. */
interface Context {
  request: Request;
  params?: Record<string, string>;
}

// The guard is bound to the route that was matched, not to a path that is parsed a second time.
function addRoute(app: Elysia, route: Route, { deps, guard }: Surroundings): void {
  const [method = "", path = ""] = route.endpoint.split(" ");
  const access: Access = ACCESS[route.endpoint];
  const handler = ({ request, params = {} }: Context): Promise<Response> =>
    answer(request, deps, () => {
      const listener = listenerOf(request);
      guard.check(request, { access: route.accessFor?.(request) ?? access, listener });
      if (route.takesLong) listener.keepOpen(request);
      return route.handle({ request, params, listener });
    });
  // Bodies are read by the routes, after the guard and with limits.
  app.route(method, path, handler, { parse: "none" });
  if (method === "GET") app.route("HEAD", path, withoutBody(handler), { parse: "none" });
}

function withoutBody(handler: (context: Context) => Promise<Response>) {
  return async ({ request, params = {} }: Context): Promise<Response> => {
    const { body, status, headers } = await handler({ request, params });
    await body?.cancel();
    return new Response(null, { status, headers });
  };
}

/** Paths of the seed, which answers 404 to whatever it does not know, other methods too. */
const SEED_PATHS = ["/event", "/health", "/stats"];

/** 405 for a known path, with the methods that it has. */
function addOtherMethods(app: Elysia, routes: Route[], { deps, guard }: Surroundings): void {
  const methodsByPath = new Map<string, string[]>();
  for (const { endpoint } of routes) {
    const [method = "", path = ""] = endpoint.split(" ");
    const methods = methodsByPath.get(path) ?? [];
    methods.push(...(method === "GET" ? ["GET", "HEAD"] : [method]));
    methodsByPath.set(path, methods);
  }
  for (const [path, methods] of methodsByPath) {
    const allow = methods.join(", ");
    const problem = SEED_PATHS.includes(path)
      ? { status: 404, code: "not_found" }
      : { status: 405, code: "method" };
    const handler = ({ request }: Context): Promise<Response> =>
      answer(request, deps, () => {
        guard.check(request, { access: "public", listener: listenerOf(request) });
        throw new HttpError(
          problem,
          `${request.method} is not a method of this path; it has ${allow}`,
          { headers: { allow } },
        );
      });
    app.route("ALL", path, handler, { parse: "none" });
  }
}

/** The dashboard's files, and 404 for everything else. */
function addFallback(app: Elysia, pages: Pages, { deps, guard }: Surroundings): void {
  const fallback = ({ request }: Context): Promise<Response> =>
    answer(request, deps, () => {
      const listener = listenerOf(request);
      const { pathname } = new URL(request.url);
      const isPage = (request.method === "GET" || request.method === "HEAD") && pages.has(pathname);
      const access = isPage ? ASSET_ACCESS : "public";
      guard.check(request, { access, listener });
      if (isPage) return pages.serve(pathname, request.headers);
      throw new HttpError({ status: 404, code: "not_found" }, "There is nothing at this path");
    });
  app.route("HEAD", "/*", withoutBody(fallback), { parse: "none" });
  app.route("ALL", "/*", fallback, { parse: "none" });
}

/** Runs a handler; a refusal becomes its problem body, a bug becomes a 500 that only the log explains. */
async function answer(
  request: Request,
  deps: ApiDeps,
  handle: () => Response | Promise<Response>,
): Promise<Response> {
  try {
    return await handle();
  } catch (thrown) {
    const refusal = refusalOf(thrown);
    if (!refusal) return hideBug(thrown, { request, deps });
    deps.metrics.add("observer_requests_refused_total", 1, { reason: refusal.code });
    return refusal.status === 401 && wantsPage(request) ? signInPage() : problemResponse(refusal);
  }
}

function hideBug(
  thrown: unknown,
  { request, deps }: { request: Request; deps: ApiDeps },
): Response {
  const id = newId();
  const error = thrown instanceof Error ? (thrown.stack ?? thrown.message) : messageOf(thrown);
  deps.log.error("request failed", { id, method: request.method, url: request.url, error });
  return problemResponse(
    new HttpError({ status: 500, code: "internal" }, `Internal error; the log has it as ${id}`, {
      detail: { id },
    }),
  );
}

function wantsPage(request: Request): boolean {
  const accepts = request.headers.get("accept") ?? "";
  return accepts.includes("text/html") && new URL(request.url).pathname === "/";
}

// Elysia looks for the path from the 12th character of the URL on, so a shorter host name ("x") or none
// (HTTP/1.0) would have it match the wrong route.
const PATH_SEARCHED_FROM = 11;

function routable(request: Request): Request {
  const { url } = request;
  const pathAt = url.startsWith("http") ? url.indexOf("/", url.indexOf("://") + 3) : 0;
  if (pathAt >= PATH_SEARCHED_FROM) return request;
  const rewritten = new Request(`http://localhost${url.slice(Math.max(pathAt, 0))}`, request);
  bindListener(rewritten, listenerOf(request));
  return rewritten;
}
