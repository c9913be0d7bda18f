// Errors that have a meaning to the caller. A bug is a plain Error; a refusal or an operating trouble is this.

/** Stable codes; each maps to one HTTP status in api/problem.ts and is documented in docs/operations.md. */
export const ERROR_CODES = [
  "invalid",
  "not_found",
  "ambiguous",
  "conflict",
  "refused_path",
  "unsupported",
  "not_permitted",
  "unauthorized",
  "occupied",
  "busy",
  "no_space",
  "read_only",
  "timeout",
  "vanished",
  "identity_changed",
  "corrupt",
  "partial",
  "too_large",
  "overloaded",
  "unavailable",
  "failed",
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

export class ObserverError extends Error {
  readonly code: ErrorCode;
  /** More facts for the caller: field, value, rule, hint. */
  readonly detail: Record<string, unknown>;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; detail?: Record<string, unknown> } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = "ObserverError";
    this.code = code;
    this.detail = options.detail ?? {};
  }
}

/** The message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
