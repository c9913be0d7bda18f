// Refusing work that could not be kept: before the body is read, and after the tick refused it.

import type { Receipt } from "../core/event.ts";
import type { ApiDeps } from "./deps.ts";
import { HttpError } from "./problem.ts";

/** Seconds until a refused sender may come back, where the tick did not say: about one slow commit. */
const RETRY_AFTER_S = 1;

/** Throws `HttpError` 429 or 507 while the inbox or the disk is full. */
export function refuseUnderPressure(deps: ApiDeps): void {
  const pressure = deps.pressure();
  if (!pressure) return;
  const headers = { "retry-after": String(pressure.retryAfterS) };
  if (pressure.code === "no_space") {
    throw new HttpError({ status: 507, code: "no_space" }, "Cannot take events: disk nearly full", {
      headers,
    });
  }
  throw new HttpError(
    { status: 429, code: "overloaded" },
    "Cannot take events: too many are waiting",
    { headers },
  );
}

/** What a receipt's reason, which begins with its kind, means over HTTP. */
const STATUS_OF_REASON = [
  { begins: "invalid", status: 400, code: "invalid" },
  { begins: "conflict", status: 409, code: "conflict" },
  { begins: "no_space", status: 507, code: "no_space" },
  { begins: "overloaded", status: 503, code: "overloaded" },
];

type Rejected = Extract<Receipt, { status: "rejected" }>;

/** The error that answers a rejected draft; storage trouble is 503. */
export function rejectionError(receipt: Rejected): HttpError {
  const reason = receipt.reason.toLowerCase();
  const known = STATUS_OF_REASON.find(({ begins }) => reason.startsWith(begins));
  const what = known ?? { status: 503, code: "storage" };
  const headers: Record<string, string> =
    what.status >= 500 ? { "retry-after": String(RETRY_AFTER_S) } : {};
  return new HttpError(what, `Cannot keep event: ${receipt.reason}`, { headers });
}

/** True when sending the same event again later may succeed: the trouble is ours, not the event's. */
export function isOurTrouble(receipt: Receipt): receipt is Rejected {
  return receipt.status === "rejected" && rejectionError(receipt).status >= 500;
}
