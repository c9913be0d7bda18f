// A server of the plain design that observer replaces, written for the bench: Bun.serve, a ring in memory, a line
// appended to a file for every event, answered without waiting for the disk, nothing validated.

import { appendFile, mkdir } from "node:fs/promises";
import { join } from "node:path";

const RING = 2_000;
const [port, directory] = process.argv.slice(2);
if (port === undefined || directory === undefined)
  throw new Error("usage: seed-server PORT DIRECTORY");
/** Whatever scenarios send; the plain design trusts them. */
type Body = Record<string, string | number | boolean | undefined>;
const ring: Body[] = [];

async function persist(operation: Body): Promise<void> {
  try {
    await mkdir(directory as string, { recursive: true });
    await appendFile(join(directory as string, "ops.jsonl"), `${JSON.stringify(operation)}\n`);
  } catch {
    // The plain design goes on without its file.
  }
}

function shape(body: Body): Body {
  return {
    timestamp: body["timestamp"] ?? new Date().toISOString(),
    endpoint: body["endpoint"] ?? "scenario:fill",
    input_summary:
      body["input_summary"] ??
      `${body["event_kind"] ?? "?"} ${body["role"] ?? "?"}×${body["count"] ?? "?"} in ${body["city"] ?? "?"}, ${body["state"] ?? "?"}`,
    success: !!body["success"],
    duration_ms: Number(body["duration_ms"] ?? 0),
    output_summary:
      body["output_summary"] ?? (body["success"] ? "filled" : (body["error"] ?? "failed")),
    error: body["error"],
    source: "scenario",
    staffer_id: body["staffer_id"],
    sig_hash: body["sig_hash"],
    event_kind: body["event_kind"],
    role: body["role"],
    city: body["city"],
    state: body["state"],
    count: body["count"],
    rescue_attempted: !!body["rescue_attempted"],
    rescue_succeeded: !!body["rescue_succeeded"],
  };
}

Bun.serve({
  port: Number(port),
  hostname: "127.0.0.1",
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (request.method === "GET" && pathname === "/health") {
      return Response.json({ status: "ok", ops_in_ring: ring.length });
    }
    if (request.method === "POST" && pathname === "/event") {
      const operation = shape((await request.json()) as Body);
      ring.push(operation);
      if (ring.length > RING) ring.shift();
      void persist(operation);
      return Response.json({ accepted: true, ring_size: ring.length });
    }
    return Response.json({ error: "not found" }, { status: 404 });
  },
});
