// The live stream, and whether it is live.

export type LiveState = "connecting" | "live" | "reconnecting" | "paused";

const TYPES = ["event", "interruption", "reaction", "checkpoint", "stats"] as const;
export type LiveType = (typeof TYPES)[number];

/** Waits before a new try after the browser gave the stream up; doubled up to the most. */
const RETRY_FIRST_MS = 1_000;
const RETRY_MOST_MS = 15_000;
/** A tab that nobody looks at lets go after this time: a browser has six connections to one host, not one per tab. */
const HIDDEN_MS = 60_000;

export interface LiveHandlers {
  frame(type: LiveType, data: unknown): void;
  state(state: LiveState): void;
  /** It opened; `again` after a gap, in which something may have been missed. */
  opened(again: boolean): void;
  /** It failed; the reason (signed out, stopped) is found by asking the API. */
  failed(): void;
}

/** Opens `/stream` and keeps it open. */
export function openLive(handlers: LiveHandlers): void {
  let retryMs = RETRY_FIRST_MS;
  let opened = false;
  let source: EventSource | null = null;
  let lastId = "";

  const connect = (): void => {
    const url = new URL("stream", document.baseURI);
    // The browser sends the header by itself only while it keeps one stream alive.
    if (lastId) url.searchParams.set("last_event_id", lastId);
    const stream = new EventSource(url);
    source = stream;
    stream.addEventListener("open", () => {
      handlers.state("live");
      handlers.opened(opened);
      opened = true;
      retryMs = RETRY_FIRST_MS;
    });
    stream.addEventListener("error", () => {
      handlers.state(opened ? "reconnecting" : "connecting");
      handlers.failed();
      if (stream.readyState !== EventSource.CLOSED) return;
      setTimeout(() => {
        // Unless it rests or was opened anew meanwhile.
        if (source === stream) connect();
      }, retryMs);
      retryMs = Math.min(retryMs * 2, RETRY_MOST_MS);
    });
    for (const type of TYPES) {
      stream.addEventListener(type, (message: MessageEvent<string>) => {
        if (message.lastEventId) lastId = message.lastEventId;
        const data = parse(message.data);
        if (data !== null) handlers.frame(type, data);
      });
    }
  };

  // A page that is left may be kept for the way back; its stream must not take a connection either.
  const rest = (): void => {
    source?.close();
    source = null;
    handlers.state("paused");
  };
  const wake = (): void => {
    if (source === null) connect();
  };
  let hidden: ReturnType<typeof setTimeout> | undefined;
  addEventListener("pagehide", rest);
  addEventListener("pageshow", wake);
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hidden);
    if (document.hidden) hidden = setTimeout(rest, HIDDEN_MS);
    else wake();
  });
  handlers.state("connecting");
  connect();
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
