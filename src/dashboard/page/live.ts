// The live stream, and whether it is live.

export type LiveState = "connecting" | "live" | "reconnecting";

const TYPES = ["event", "interruption", "reaction", "checkpoint", "stats"] as const;
export type LiveType = (typeof TYPES)[number];

/** Waits before a new try after the browser gave the stream up; doubled up to the most. */
const RETRY_FIRST_MS = 1_000;
const RETRY_MOST_MS = 15_000;

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
  let lastId = "";

  const connect = (): void => {
    const url = new URL("stream", document.baseURI);
    // The browser sends the header by itself only while it keeps one stream alive.
    if (lastId) url.searchParams.set("last_event_id", lastId);
    const source = new EventSource(url);
    source.addEventListener("open", () => {
      handlers.state("live");
      handlers.opened(opened);
      opened = true;
      retryMs = RETRY_FIRST_MS;
    });
    source.addEventListener("error", () => {
      handlers.state(opened ? "reconnecting" : "connecting");
      handlers.failed();
      if (source.readyState !== EventSource.CLOSED) return;
      setTimeout(connect, retryMs);
      retryMs = Math.min(retryMs * 2, RETRY_MOST_MS);
    });
    for (const type of TYPES) {
      source.addEventListener(type, (message: MessageEvent<string>) => {
        if (message.lastEventId) lastId = message.lastEventId;
        const data = parse(message.data);
        if (data !== null) handlers.frame(type, data);
      });
    }
  };

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
