// The OpenAPI page, written from the table of routes.

import type { BuildInfo } from "../core/build-info.ts";
import { ACCESS, type Access } from "./access.ts";
import { LIMIT_MAX } from "./list-query.ts";
import type { Route } from "./route.ts";

type Json = Record<string, unknown>;

const LIST_PARAMETERS: Record<string, string> = {
  limit: `Rows in one page, 1 to ${LIMIT_MAX}; default 100.`,
  cursor: "`next_cursor` of the page before.",
  since: "ISO 8601 time or milliseconds since the epoch, inclusive.",
  until: "ISO 8601 time or milliseconds since the epoch, inclusive.",
};

const ACCESS_TEXT: Record<Access, string> = {
  public: "Anyone with the code.",
  local: "Open on loopback and the unix socket; scope `ingest` from elsewhere.",
  read: "Root, observer's own user, the browser's cookie, or a token with scope `read`.",
  admin: "Root, observer's own user, the browser's cookie, or a token with scope `admin`.",
};

/** An OpenAPI 3.1 document; schemas are JSON Schema as TypeBox writes it. */
export function openApiOf(routes: Route[], build: BuildInfo): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const [method = "", path = ""] = route.endpoint.split(" ");
    const name = path.replace(/:(\w+)/g, "{$1}");
    (paths[name] ??= {})[method.toLowerCase()] = operationOf(route, path);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "observer",
      version: build.version,
      description: "Filters of lists: every scalar field of the rows shown.",
    },
    paths,
    components: {
      schemas: { Problem: PROBLEM, Page: PAGE },
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer" },
        token: { type: "apiKey", in: "header", name: "X-Observer-Token" },
        browser: { type: "apiKey", in: "cookie", name: "observer_session" },
      },
    },
  };
}

const PROBLEM = {
  type: "object",
  required: ["type", "title", "status", "detail", "error", "code"],
  properties: {
    type: { type: "string" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
    error: { type: "string" },
    code: { type: "string" },
  },
};

const PAGE = {
  type: "object",
  required: ["items", "next_cursor"],
  properties: {
    items: { type: "array", items: { type: "object" } },
    next_cursor: { type: ["string", "null"] },
  },
};

function operationOf(route: Route, path: string): Json {
  const access: Access = ACCESS[route.endpoint];
  const guarded = access === "read" || access === "admin";
  return {
    summary: route.summary,
    description: ACCESS_TEXT[access],
    operationId: route.endpoint.replace(/[^a-z0-9]+/gi, "_").replace(/_$/, ""),
    tags: [path.split("/")[1] || "dashboard"],
    parameters: parametersOf(route, path),
    ...(route.body
      ? { requestBody: { content: { "application/json": { schema: route.body } } } }
      : {}),
    responses: {
      [String(route.status ?? 200)]: { description: "Done", content: contentOf(route) },
      default: {
        description: "Refused or failed",
        content: { "application/problem+json": { schema: reference("Problem") } },
      },
    },
    ...(guarded ? { security: [{ bearer: [] }, { token: [] }, { browser: [] }, {}] } : {}),
  };
}

function contentOf(route: Route): Json {
  if (route.contentType) return { [route.contentType]: { schema: { type: "string" } } };
  const schema = route.list ? reference("Page") : (route.answer ?? { type: "object" });
  return { "application/json": { schema } };
}

function parametersOf(route: Route, path: string): Json[] {
  const named = [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const query = { ...(route.list ? LIST_PARAMETERS : {}), ...route.query };
  const queried = Object.entries(query).map(([name, description]) => ({
    name,
    in: "query",
    description,
    schema: { type: "string" },
  }));
  return [...named, ...queried];
}

function reference(schema: string): Json {
  return { $ref: `#/components/schemas/${schema}` };
}
