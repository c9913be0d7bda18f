// Types of client.js, which is one file so that it can be imported from a running observer.

/** One operation as observer keeps it; unknown fields are kept too. */
export interface Operation {
  timestamp?: string;
  endpoint?: string;
  input_summary?: string;
  success?: boolean;
  duration_ms?: number;
  output_summary?: string;
  error?: string;
  source?: string;
  staffer_id?: string;
  sig_hash?: string;
  event_kind?: string;
  role?: string;
  city?: string;
  state?: string;
  count?: number;
  rescue_attempted?: boolean;
  rescue_succeeded?: boolean;
  [field: string]: unknown;
}

/** What `observed` recorded about one gateway call. */
export interface ObservedOperation extends Operation {
  timestamp: string;
  endpoint: string;
  input_summary: string;
  success: boolean;
  duration_ms: number;
  output_summary: string;
  source: "mcp";
}

/**
 * Calls the gateway (`GATEWAY_URL`, default `http://localhost:3700`) by POST with a JSON body and records how it
 * went. Never rejects: when the gateway fails, `data` is `{ error }` and `op.success` is false. Observer being
 * away, slow or wrong changes nothing but a wait of at most 2 s.
 */
export function observed(
  endpoint: string,
  body: unknown,
  description: string,
): Promise<{ data: unknown; op: ObservedOperation }>;

/**
 * Sends one operation to observer (`OBSERVER_URL`, default `http://localhost:3800`). Never rejects; true when
 * observer has committed it, false after any failure or 2 s.
 */
export function postObserverEvent(event: Operation): Promise<boolean>;
