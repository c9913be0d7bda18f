// The load of the bench: a fixed number of requests over a fixed number of connections, one in flight on each.
// Raw sockets and requests built beforehand, so that the client costs little beside the server that it measures.

import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    port: { type: "string" },
    path: { type: "string", default: "/event" },
    connections: { type: "string", default: "1" },
    requests: { type: "string", default: "1000" },
    batch: { type: "string", default: "0" },
  },
});
const connections = Number(values.connections);
const requests = Number(values.requests);
const batch = Number(values.batch);

/** One operation as scenarios post it, about 430 bytes, different from its neighbours. */
function body(index: number): string {
  return JSON.stringify({
    ...(batch > 0 ? { kind: "operation", source: "scenario" } : {}),
    endpoint: "scenario:fill",
    success: index % 7 !== 0,
    duration_ms: 100 + (index % 900),
    staffer_id: `staffer-${index % 40}`,
    sig_hash: Bun.hash(String(index)).toString(16),
    event_kind: "baseline_fill",
    role: "Forklift Operator",
    city: "Toledo",
    state: "OH",
    count: 1 + (index % 5),
    input_summary:
      "baseline_fill Forklift Operator in Toledo, OH for the night shift of the northern yard",
    output_summary:
      index % 7 === 0 ? "no candidate passed the filter" : "filled after one search and two calls",
    ...(index % 7 === 0 ? { error: "no candidate passed the filter" } : {}),
  });
}

function request(index: number): Buffer {
  const text =
    batch === 0
      ? body(index)
      : Array.from({ length: batch }, (_, line) => body(index * batch + line)).join("\n");
  const type = batch === 0 ? "application/json" : "application/x-ndjson";
  const head = `POST ${values.path} HTTP/1.1\r\nHost: 127.0.0.1:${values.port}\r\nContent-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n`;
  return Buffer.from(head + text);
}

const prepared = Array.from({ length: batch === 0 ? 512 : 8 }, (_, index) => request(index));
const latencies = new Float64Array(requests);
let sent = 0;
let answered = 0;
let good = 0;
const done = Promise.withResolvers<void>();

interface Line {
  rest: Buffer;
  sentAt: number;
  left: Buffer | null;
}

function next(socket: Bun.Socket<Line>): void {
  if (sent === requests) return;
  const bytes = prepared[sent % prepared.length] as Buffer;
  sent += 1;
  socket.data.sentAt = performance.now();
  const written = socket.write(bytes);
  socket.data.left = written < bytes.length ? bytes.subarray(written) : null;
}

/** Bytes of the first complete answer in `buffer`, or 0. */
function answerLength(buffer: Buffer): number {
  const end = buffer.indexOf("\r\n\r\n");
  if (end < 0) return 0;
  const match = /content-length: *(\d+)/i.exec(buffer.toString("latin1", 0, end));
  const length = end + 4 + Number(match?.[1] ?? 0);
  return buffer.length >= length ? length : 0;
}

const started = performance.now();
const sockets = await Promise.all(
  Array.from({ length: connections }, () =>
    Bun.connect<Line>({
      hostname: "127.0.0.1",
      port: Number(values.port),
      data: { rest: Buffer.alloc(0), sentAt: 0, left: null },
      socket: {
        open: next,
        drain(socket) {
          const { left } = socket.data;
          if (!left) return;
          const written = socket.write(left);
          socket.data.left = written < left.length ? left.subarray(written) : null;
        },
        data(socket, chunk) {
          const { data } = socket;
          data.rest = data.rest.length === 0 ? chunk : Buffer.concat([data.rest, chunk]);
          const length = answerLength(data.rest);
          if (length === 0) return;
          if (data.rest[9] === 0x32) good += 1;
          data.rest = data.rest.subarray(length);
          latencies[answered] = performance.now() - data.sentAt;
          answered += 1;
          if (answered === requests) done.resolve();
          else next(socket);
        },
        close() {
          if (answered < requests) done.reject(new Error("connection closed early"));
        },
      },
    }),
  ),
);
await done.promise;
const ms = performance.now() - started;
for (const socket of sockets) socket.end();
latencies.sort();
console.log(
  JSON.stringify({
    events: requests * Math.max(batch, 1),
    good,
    requests,
    ms,
    perSecond: (requests * Math.max(batch, 1) * 1_000) / ms,
    p50Ms: latencies[Math.floor(requests * 0.5)],
    p99Ms: latencies[Math.floor(requests * 0.99)],
  }),
);
