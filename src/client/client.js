// The client of observer for agents and scripts: one file, no dependency, for Bun, Node 18+ and Deno.

/** Observer must never hold up the one it observes. */
const OBSERVER_TIMEOUT_MS = 2_000;
/** Length of an answer's digest where no field of it says more. */
const SUMMARY_LENGTH_MAX = 100;
const ANSWER_LENGTH_MAX = 80;

/** See client.d.ts. */
export async function observed(endpoint, body, description) {
  const startedMs = performance.now();
  let data;
  let error;
  try {
    const response = await fetch(`${setting("GATEWAY_URL", "http://localhost:3700")}${endpoint}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    data = await response.json();
    if (data?.error) error = data.error;
    else if (!response.ok) error = `HTTP ${response.status}`;
  } catch (thrown) {
    error = messageOf(thrown);
    data = { error };
  }
  const op = {
    timestamp: new Date().toISOString(),
    endpoint,
    input_summary: description,
    success: error === undefined,
    duration_ms: Math.round(performance.now() - startedMs),
    output_summary: error === undefined ? summarize(data) : `ERROR: ${textOf(error)}`,
    ...(error === undefined ? {} : { error: textOf(error) }),
    source: "mcp",
  };
  await postObserverEvent(op);
  return { data, op };
}

/** See client.d.ts. */
export async function postObserverEvent(event) {
  try {
    const response = await fetch(`${setting("OBSERVER_URL", "http://localhost:3800")}/event`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(event),
      signal: AbortSignal.timeout(OBSERVER_TIMEOUT_MS),
    });
    // The body is read so that the connection can be used again.
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false; // Away, slow or refusing: the caller goes on.
  }
}

function summarize(data) {
  if (data?.sql_matches !== undefined) {
    return `hybrid: ${data.sql_matches} sql → ${data.vector_reranked} results`;
  }
  if (data?.rows) return `${data.row_count || data.rows.length} rows`;
  if (typeof data?.answer === "string")
    return `answer: ${data.answer.slice(0, ANSWER_LENGTH_MAX)}...`;
  if (data?.sources) return `${data.sources.length} sources`;
  return (JSON.stringify(data) ?? "").slice(0, SUMMARY_LENGTH_MAX);
}

function textOf(value) {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
}

function messageOf(thrown) {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

// Read at each call, so that it may be set after the import. Deno may refuse to tell.
function setting(name, fallback) {
  try {
    const value = globalThis.process?.env?.[name] ?? globalThis.Deno?.env.get(name);
    return (value || fallback).replace(/\/+$/, "");
  } catch {
    return fallback;
  }
}
