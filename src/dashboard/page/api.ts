// Asks the API, relative to where the page was loaded from, so that it works behind a path prefix.

import type { Page } from "./shapes.ts";

/** The browser is not signed in. */
export class SignedOutError extends Error {
  constructor() {
    super("This browser is not signed in");
    this.name = "SignedOutError";
  }
}

export interface Ask {
  method?: "GET" | "POST" | "DELETE";
  query?: Record<string, string | undefined>;
  body?: unknown;
  /** Statuses that are answers, not failures. */
  accept?: number[];
}

/** Errors: `SignedOutError`, or `Error` with the text of the problem. */
export async function ask<T>(path: string, options: Ask = {}): Promise<T> {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(options.query ?? {})) {
    if (value !== undefined) url.searchParams.set(name, value);
  }
  const response = await fetch(url, {
    method: options.method ?? "GET",
    headers: { accept: "application/json", "content-type": "application/json" },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
  });
  if (response.status === 401) throw new SignedOutError();
  const body: unknown = await response.json().catch(() => null);
  if (response.ok || options.accept?.includes(response.status)) return body as T;
  throw new Error(problemText(body) ?? `observer answered ${response.status}`);
}

function problemText(body: unknown): string | null {
  const error = (body as { error?: unknown } | null)?.error;
  return typeof error === "string" ? error : null;
}

/** The newest rows of a list. */
export async function list<T>(path: string, query: Ask["query"] = {}): Promise<T[]> {
  const page = await ask<Page<T>>(path, { query });
  return Array.isArray(page.items) ? page.items : [];
}

/** Path of one row. */
export function at(resource: string, id: string, rest = ""): string {
  return `${resource}/${encodeURIComponent(id)}${rest}`;
}
