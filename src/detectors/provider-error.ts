// Reads the error of a model provider or API out of an event; never looks at tool results or prose.

import type { EventData, ObserverEvent } from "../core/event.ts";
import { errorText } from "./finding.ts";
import { hashText } from "./hash.ts";
import { collapseSpace, normaliseText } from "./normalise.ts";

// Longer bodies differ where they quote the request.
const MESSAGE_CHARS_MAX = 2_000;
const STATUS_ERROR_MIN = 400;

export interface ProviderError {
  /** The vendor's structured name of the error, or empty. */
  errorType: string;
  status: number | null;
  message: string;
}

function messageOf(data: EventData): string {
  const text = errorText(data);
  if (text !== "") return text;
  const message: unknown = data["message"];
  return typeof message === "string" ? message : "";
}

function typeOf(data: EventData): string {
  if (typeof data.error_type === "string") return data.error_type;
  const error: unknown = data.error;
  if (typeof error !== "object" || error === null) return "";
  if ("code" in error && typeof error.code === "string") return error.code;
  return "type" in error && typeof error.type === "string" ? error.type : "";
}

function hasExitFacts(data: EventData): boolean {
  return data.exit_code !== undefined || data.signal !== undefined || data.core_dumped === true;
}

/** The provider's or API's error that an `llm_call` or `error` event reports; null when it reports none. */
export function providerError(event: ObserverEvent): ProviderError | null {
  const { kind, data } = event;
  if (kind !== "llm_call" && kind !== "error") return null;
  // An error of a tool or of the process itself is no provider's.
  if (kind === "error" && (data.tool !== undefined || hasExitFacts(data))) return null;
  if (data["is_interrupt"] === true) return null;
  const status = typeof data.status === "number" ? data.status : null;
  const message = messageOf(data);
  const errorType = typeOf(data);
  const failed = (status ?? 0) >= STATUS_ERROR_MIN || errorText(data) !== "" || errorType !== "";
  if (kind === "llm_call" && !failed) return null;
  return { errorType, status, message };
}

/** Equal for errors of one type (else status) with the same message but for ids, times, attempts and token counts. */
export function errorKey(error: ProviderError): string {
  const message = collapseSpace(normaliseText(error.message.slice(0, MESSAGE_CHARS_MAX)))
    .replace(/\breq(?:uest)?[_-](?:id[ :=]{0,3})?[\w-]{6,}/gi, "<request>")
    .replace(
      /\b(request id|limit|used|requested|attempt|retry)([:#" ]{1,3})[\w-]*\d[\w-]*/gi,
      "$1$2N",
    );
  return hashText(`${error.errorType || (error.status ?? "")}\u0000${message}`);
}
