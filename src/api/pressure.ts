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

type Rejected = Extract<Receipt, { status: "rejected" }>;

const DISK_FULL = /disk is full|no space left/i;

/** The error that answers a rejected draft. */
export function rejectionError(receipt: Rejected): HttpError {
  const { code, reason } = receipt;
  const message = `Cannot keep event: ${reason}`;
  if (code === "conflict") return new HttpError({ status: 409, code }, message);
  const headers = { "retry-after": String(RETRY_AFTER_S) };
  // SQLite and the kernel say this in words only.
  if (code === "storage" && DISK_FULL.test(reason)) {
    return new HttpError({ status: 507, code: "no_space" }, message, { headers });
  }
  return new HttpError({ status: 503, code }, message, { headers });
}

/** True when sending the same event again later may succeed: the trouble is ours, not the event's. */
export function isOurTrouble(receipt: Receipt): receipt is Rejected {
  return receipt.status === "rejected" && rejectionError(receipt).status >= 500;
}
