// Errors as callers get them: RFC 9457 bodies that also carry `error`.

import { type ErrorCode, ObserverError } from "../core/errors.ts";

/** HTTP status of each stable code. */
export const STATUS_OF_CODE: Record<ErrorCode, number> = {
  invalid: 400,
  not_found: 404,
  ambiguous: 409,
  conflict: 409,
  refused_path: 403,
  unsupported: 422,
  not_permitted: 403,
  unauthorized: 401,
  occupied: 409,
  busy: 409,
  no_space: 507,
  read_only: 409,
  timeout: 504,
  vanished: 410,
  identity_changed: 409,
  corrupt: 500,
  partial: 409,
  too_large: 413,
  overloaded: 429,
  unavailable: 503,
  failed: 500,
};

const TITLES: Record<number, string> = {
  400: "Bad request",
  401: "Not signed in",
  403: "Refused",
  404: "Not found",
  405: "Method not allowed",
  409: "Conflict",
  410: "Gone",
  413: "Body too large",
  415: "Media type not supported",
  422: "Cannot be done",
  429: "Too many requests",
  500: "Failed",
  503: "Not available",
  504: "Timed out",
  507: "Not enough space",
};

/** Seconds to wait where nothing better is known. */
const RETRY_AFTER_S = 1;
const RETRY_LATER = new Set([429, 503, 507]);

interface HttpErrorOptions {
  headers?: Record<string, string>;
  detail?: Record<string, unknown>;
}

/** A refusal that only makes sense over HTTP; everything else is an `ObserverError`. */
export class HttpError extends Error {
  readonly status: number;
  /** Stable word for the body and for the counter of refused requests. */
  readonly code: string;
  readonly headers: Record<string, string>;
  readonly detail: Record<string, unknown>;

  constructor(what: { status: number; code: string }, message: string, options?: HttpErrorOptions) {
    super(message);
    this.name = "HttpError";
    this.status = what.status;
    this.code = what.code;
    this.headers = options?.headers ?? {};
    this.detail = options?.detail ?? {};
  }
}

/** The refusal in what was thrown; null for a bug, which the caller logs and hides. */
export function refusalOf(thrown: unknown): HttpError | null {
  if (thrown instanceof HttpError) return thrown;
  if (!(thrown instanceof ObserverError)) return null;
  return new HttpError({ status: STATUS_OF_CODE[thrown.code], code: thrown.code }, thrown.message, {
    detail: thrown.detail,
  });
}

/** The response to a refusal. Facts of the detail never overwrite the standard members. */
export function problemResponse(refusal: HttpError): Response {
  const { status, code, message, detail } = refusal;
  const body = {
    ...detail,
    type: `urn:observer:error:${code}`,
    title: TITLES[status] ?? "Error",
    status,
    detail: message,
    error: message,
    code,
  };
  const retry: Record<string, string> = RETRY_LATER.has(status)
    ? { "retry-after": String(RETRY_AFTER_S) }
    : {};
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...retry,
      ...refusal.headers,
    },
  });
}
