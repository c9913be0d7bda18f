// Talks to the running observer in the shapes of its API.

import { messageOf, ObserverError } from "../core/errors.ts";
import type { Route } from "./find-daemon.ts";

/** How long an ordinary answer may take; work that reads or writes a whole tree has no limit. */
const TIMEOUT_MS = 10_000;

export type Query = Record<string, string | undefined>;
export type Json = Record<string, unknown>;

export interface Page {
  items: Json[];
  next_cursor: string | null;
}

export interface RequestOptions {
  query?: Query;
  body?: unknown;
  /** For work that takes as long as it takes. */
  patient?: boolean;
  /** Statuses that are answers, not failures. */
  accept?: number[];
}

/** Errors: `NoDaemonError`, `ApiError`. */
export interface Client {
  get(path: string, options?: RequestOptions): Promise<Json>;
  list(path: string, query?: Query): Promise<Page>;
  post(path: string, options?: RequestOptions): Promise<Json>;
  delete(path: string): Promise<Json>;
  /** Where it looked, for messages. */
  readonly target: string;
}

/** Nothing answers: exit status 3. */
export class NoDaemonError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "NoDaemonError";
  }
}

/** The daemon answered with a problem: exit status 1. */
export class ApiError extends Error {
  readonly status: number;
  readonly body: Json;

  constructor(status: number, body: Json) {
    super(typeof body["error"] === "string" ? body["error"] : `the daemon answered ${status}`);
    this.name = "ApiError";
    this.status = status;
    this.body = body;
  }
}

/** A client that tries `routes` in order and stays with the first that connects. */
export function createClient(routes: Route[], timeoutMs = TIMEOUT_MS): Client {
  const target = routes.map((route) => route.unix ?? route.url).join(" or ");
  let chosen: Route | null = null;

  async function connect(method: string, path: string, options: RequestOptions): Promise<Response> {
    for (const route of chosen ? [chosen] : routes) {
      try {
        const response = await send(route, { method, path, options, timeoutMs });
        chosen = route;
        return response;
      } catch (thrown) {
        if (isTimeout(thrown)) {
          throw new NoDaemonError(
            `observer at ${target} did not answer within ${timeoutMs / 1000} s`,
          );
        }
        if (hasCode(thrown, LOST)) {
          throw new NoDaemonError(`observer at ${target} closed the connection before it answered`);
        }
        if (!hasCode(thrown, UNREACHABLE)) {
          throw new ObserverError("failed", `Cannot ask ${target}: ${messageOf(thrown)}`, {
            cause: thrown,
          });
        }
      }
    }
    throw new NoDaemonError(`no observer answers at ${target}`);
  }

  async function request(method: string, path: string, options: RequestOptions): Promise<Json> {
    const response = await connect(method, path, options);
    const body = await readBody(response, target);
    if (response.ok || options.accept?.includes(response.status)) return body;
    throw new ApiError(response.status, body);
  }

  return {
    target,
    get: (path, options = {}) => request("GET", path, options),
    post: (path, options = {}) => request("POST", path, { body: {}, ...options }),
    delete: (path) => request("DELETE", path, {}),
    async list(path, query = {}) {
      const body = await request("GET", path, { query });
      const items = Array.isArray(body["items"]) ? (body["items"] as Json[]) : [];
      const cursor = body["next_cursor"];
      return { items, next_cursor: typeof cursor === "string" ? cursor : null };
    },
  };
}

async function send(
  route: Route,
  ask: { method: string; path: string; options: RequestOptions; timeoutMs: number },
): Promise<Response> {
  const { method, path, options } = ask;
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(options.query ?? {})) {
    if (value !== undefined) query.set(name, value);
  }
  const headers: Record<string, string> = { accept: "application/json" };
  if (route.token) headers["authorization"] = `Bearer ${route.token}`;
  if (options.body !== undefined) headers["content-type"] = "application/json";
  const search = query.size > 0 ? `?${query.toString()}` : "";
  return await fetch(`${route.url}${path}${search}`, {
    method,
    headers,
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    ...(route.unix ? { unix: route.unix } : {}),
    // Bun gives up on a silent connection by itself unless told not to.
    ...(options.patient ? { timeout: false } : { signal: AbortSignal.timeout(ask.timeoutMs) }),
  });
}

async function readBody(response: Response, target: string): Promise<Json> {
  const text = await response.text();
  if (text === "") return {};
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null) return body as Json;
  } catch {
    // Told below, together with JSON that is no object.
  }
  throw new ObserverError(
    "failed",
    `What answers at ${target} is not observer (status ${response.status}, no JSON object)`,
  );
}

function isTimeout(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.name === "TimeoutError";
}

/** Refused, no such socket, or a socket that we may not open: another way may still work. */
const UNREACHABLE = new Set([
  "ConnectionRefused",
  "ECONNREFUSED",
  "ENOENT",
  "EACCES",
  "EPERM",
  "FailedToOpenSocket",
  "ENOTFOUND",
  "EHOSTUNREACH",
]);

/** It was reached and went away; asking again elsewhere could do the work twice. */
const LOST = new Set(["ConnectionClosed", "ECONNRESET"]);

function hasCode(thrown: unknown, codes: ReadonlySet<string>): boolean {
  const code = (thrown as { code?: unknown } | null)?.code;
  return typeof code === "string" && codes.has(code);
}
