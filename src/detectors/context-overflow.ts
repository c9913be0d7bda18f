// context_overflow: a request was refused or cut because it no longer fits the model's context window.

import type { Detector } from "../core/contracts.ts";
import type { ObserverEvent } from "../core/event.ts";
import { clip } from "../core/text.ts";
import { ERROR_CHARS_MAX, errorText, findingAt } from "./finding.ts";
import { type ProviderError, providerError } from "./provider-error.ts";

const STOP_REASON = "model_context_window_exceeded";
const ERROR_TYPES = new Set([
  "context_length_exceeded",
  "contextoverflowerror",
  "context_window_exceeded",
  "contextwindowexceedederror",
  "model_context_window_exceeded",
]);

// What providers write, each from its own error body (names in comments where the text does not tell).
const PHRASES = [
  /prompt is too long/i,
  /input is too long for requested model/i, // Bedrock
  /exceeds the context window/i,
  /input token count[^\n]{0,200}exceeds the maximum/i, // Gemini
  /maximum prompt length is \d+/i, // xAI
  /reduce the length of the messages/i, // Groq
  /maximum context length is \d+ tokens/i, // OpenAI, OpenRouter, vLLM
  /exceeds the available context size/i, // llama.cpp
  /greater than the context length/i, // LM Studio
  /context window exceeds limit/i, // MiniMax
  /exceeded model token limit/i, // Kimi
  /too large for model with \d+ maximum context length/i, // Mistral
  /longer than the model's context length/i, // Together
  /input tokens exceed the configured limit/i,
  /current length is \d+ while limit is \d+/i, // Cerebras
  /context[-_ ](?:length|window|limit|size)(?: (?:was|is|has been))?[-_ ]exceeded/i,
  /exceed(?:s|ed|ing)? (?:the |its |this )?(?:model(?:'s)? )?(?:maximum |max |available )?context (?:length|window|limit|size)/i,
  /context[-_ ](?:window |length )?overflow/i,
  /model_context_window_exceeded/i,
  /exceed context limit/i, // Anthropic, with max_tokens
];
// These mean other limits as well: they count only where nothing else is named.
const VAGUE_PHRASES = [/too many tokens/i, /token limit exceeded/i];
const OTHER_TOKEN_LIMITS = /rate[ _-]?limit|per[ _-]minute|per[ _-]min\b|quota/i;
const SIZE_PHRASE =
  /exceeds the limit of \d+(?![\d.,]*\s?(?:[kmg]i?b|bytes?|images?|files?|requests?|characters?)\b)/i; // Copilot
const OTHER_SIZE_LIMITS =
  /\b(?:images?|files?|attachments?|requests|characters?)\b|rate[ _-]?limit|quota/i;

const STATUS_BAD_REQUEST = 400;
const STATUS_TOO_LARGE = 413;

function saysOverflow(text: string): boolean {
  if (PHRASES.some((phrase) => phrase.test(text))) return true;
  if (VAGUE_PHRASES.some((phrase) => phrase.test(text))) return !OTHER_TOKEN_LIMITS.test(text);
  return SIZE_PHRASE.test(text) && !OTHER_SIZE_LIMITS.test(text);
}

function isOverflow(error: ProviderError): boolean {
  const type = error.errorType.toLowerCase();
  if (ERROR_TYPES.has(type)) return true;
  const { status, message } = error;
  // A 413 that names its reason (`request_too_large`: 32 MB of body) is judged by that name.
  if (status === STATUS_TOO_LARGE && message === "" && type === "") return true;
  // Any other error status has its own meaning, whatever its text quotes; below 400 the error came in the stream.
  const bodyCounts = status === null || status <= STATUS_BAD_REQUEST || status === STATUS_TOO_LARGE;
  return bodyCounts && saysOverflow(message);
}

/** The overflow that the event reports, with the text that says so; null when it reports none. */
export function overflowOf(event: ObserverEvent): ProviderError | null {
  const { kind, data } = event;
  if (kind === "llm_call" && data.stop_reason === STOP_REASON) {
    return { errorType: STOP_REASON, status: data.status ?? null, message: errorText(data) };
  }
  if (kind === "operation") {
    const message = data.success === false ? errorText(data) : "";
    return saysOverflow(message) ? { errorType: "", status: null, message } : null;
  }
  const error = providerError(event);
  if (error === null) return null;
  const details: unknown = data["error_details"];
  const message =
    typeof details === "string" ? `${error.message}\n${details}`.trim() : error.message;
  return isOverflow({ ...error, message }) ? { ...error, message } : null;
}

/** Reports each overflow; those of one provider and model share a fingerprint. Structured facts come before text. */
export function createContextOverflowDetector(): Detector {
  return {
    type: "context_overflow",
    observe(event) {
      const overflow = overflowOf(event);
      if (overflow === null) return [];
      const { provider, model } = event.data;
      const where = [provider, model].filter((part) => typeof part === "string").join(" ");
      return [
        findingAt(event, {
          type: "context_overflow",
          fingerprint: `overflow:${where}`,
          summary: `Context window exceeded${where === "" ? "" : ` (${where})`}`,
          detail: {
            provider: provider ?? null,
            model: model ?? null,
            status: overflow.status,
            error_type: overflow.errorType || null,
            message: clip(overflow.message, ERROR_CHARS_MAX),
          },
          evidence: [event.id],
        }),
      ];
    },
  };
}
