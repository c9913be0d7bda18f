// What an endpoint is: its handler, and what the OpenAPI page says about it.

import type { TSchema } from "@sinclair/typebox";
import type { Access, Endpoint } from "./access.ts";
import type { Listener } from "./listener.ts";

/** One request that passed the caller check. */
export interface Call {
  request: Request;
  /** Named parts of the path, decoded. */
  params: Record<string, string>;
  listener: Listener;
}

export interface Route {
  endpoint: Endpoint;
  /** One sentence for the OpenAPI page. */
  summary: string;
  handle(call: Call): Response | Promise<Response>;
  /** Query parameters with their meaning; lists have the common ones by themselves. */
  query?: Record<string, string>;
  /** What this very request needs where that is more than the endpoint does. */
  accessFor?: (request: Request) => Access;
  /** True for a list: `limit`, `cursor`, `since`, `until` and filters. */
  list?: boolean;
  body?: TSchema;
  /** Schema of the answer where it is more than an object. */
  answer?: TSchema;
  /** Status of success; 200 where absent. */
  status?: number;
  /** Media type of success; JSON where absent. */
  contentType?: string;
  /** True when it may take longer than a connection may idle. */
  takesLong?: boolean;
}

const JSON_HEADERS = {
  "content-type": "application/json",
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
};

/** Made once: building the headers anew costs more than the rest of a small answer. */
const PLAIN = { status: 200, headers: new Headers(JSON_HEADERS) };

/** A JSON answer; never cached, because everything shown changes. */
export function json(
  value: unknown,
  init: { status?: number; headers?: Record<string, string> } = {},
): Response {
  const text = JSON.stringify(value);
  if (init.status === undefined && init.headers === undefined) return new Response(text, PLAIN);
  return new Response(text, {
    status: init.status ?? 200,
    headers: { ...JSON_HEADERS, ...init.headers },
  });
}
