// A fake of the contract, not of observer's code: a small server that answers in the shapes of contract sections
// 3 to 6, so that clients are tested against what is promised. End-to-end tests use the real program.

import { fakeRows, type Row } from "./fake-rows.ts";

export interface Seen {
  method: string;
  path: string;
  query: Record<string, string>;
  body: unknown;
  authorization: string | null;
}

export interface FakeObserver {
  url: string;
  port: number;
  /** Every request so far. */
  seen: Seen[];
  stop(): Promise<void>;
}

export interface FakeOptions {
  unix?: string;
  port?: number;
  nowMs: number;
  /** Nothing has happened. */
  empty?: boolean;
  /** Every guarded endpoint answers 401 unless this token comes. */
  token?: string;
  /** Answers this path by itself. */
  answer?: (path: string, seen: Seen) => Response | undefined;
  assets?: Map<string, { body: Uint8Array; type: string }>;
}

/** The policy that the API serves the page with. */
export const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'";

function problem(status: number, error: string): Response {
  return Response.json(
    { type: "about:blank", title: "Problem", status, detail: error, error },
    { status },
  );
}

export function startFakeObserver(options: FakeOptions): FakeObserver {
  const rows = fakeRows(options.nowMs);
  const tables: Record<string, Row[]> = {
    events: rows.events,
    sessions: rows.sessions,
    interruptions: rows.interruptions,
    reactions: rows.reactions,
    checkpoints: rows.checkpoints,
    agents: rows.agents,
  };
  if (options.empty) for (const name of Object.keys(tables)) tables[name] = [];
  const seen: Seen[] = [];

  const handle = async (request: Request): Promise<Response> => {
    const url = new URL(request.url);
    const text = await request.text();
    const call: Seen = {
      method: request.method,
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      body: text === "" ? null : JSON.parse(text),
      authorization: request.headers.get("authorization"),
    };
    seen.push(call);
    const asset = options.assets?.get(url.pathname);
    if (asset) {
      return new Response(asset.body as Uint8Array<ArrayBuffer>, {
        headers: { "content-type": asset.type, "content-security-policy": PAGE_POLICY },
      });
    }
    if (options.token && call.authorization !== `Bearer ${options.token}`)
      return problem(401, "Not signed in");
    return options.answer?.(url.pathname, call) ?? answer(call, { tables, changes: rows.changes });
  };

  const server = options.unix
    ? Bun.serve({ unix: options.unix, fetch: handle })
    : Bun.serve({ port: options.port ?? 0, hostname: "127.0.0.1", idleTimeout: 60, fetch: handle });
  const port = server.port ?? 0;
  return { url: `http://127.0.0.1:${port}`, port, seen, stop: () => server.stop(true) };
}

/** The content of a file is what an agent wrote: anything. */
function textDiffOf(path: string): Row {
  const sizes = { path, size_before: 10, size_after: 2_048 };
  if (path === "same") return { ...sizes, text: "" };
  if (path === "binary") return { ...sizes, text: null, reason: "binary" };
  const hostile = "\u001b]0;owned\u0007\u001b[2J\u009b31m\u202e";
  return {
    ...sizes,
    text: `--- a/${path}\n+++ b/${path}\n@@ -1,1 +1,2 @@\n-old\r\n+\tnew\n+${hostile}\n`,
  };
}

function answer(call: Seen, data: { tables: Record<string, Row[]>; changes: Row[] }): Response {
  const { tables, changes } = data;
  const [, resource = "", id, verb] = call.path.split("/");
  switch (resource) {
    case "version":
      return Response.json({
        version: "0.1.0",
        commit: "abc1234",
        bun: "1.4.5",
        platform: "linux-x64",
        host: "build-07",
      });
    case "readyz":
      return Response.json({ status: "ready" });
    case "stats": {
      const counts = { total: 12, successes: 9, failures: 3, by_source: { scenario: 10, mcp: 2 } };
      return Response.json({ ...counts, recent_scenario_ops: [], all_time: counts });
    }
    case "vram":
      return Response.json(VRAM);
    case "capabilities":
      return Response.json({ items: CAPABILITIES, next_cursor: null });
    case "session-codes":
      return Response.json(
        { code: "xyz", url: "http://localhost:3800/open?code=xyz", expires_in_s: 60 },
        { status: 201 },
      );
    case "stream":
      return new Response(
        new ReadableStream({ start: (stream) => stream.enqueue(": hello\n\n") }),
        {
          headers: { "content-type": "text/event-stream" },
        },
      );
    default: {
      const table = tables[resource];
      if (!table) return problem(404, `There is no ${call.path}`);
      if (call.method === "POST" && resource === "checkpoints" && !id) return create(call);
      if (call.method === "POST" && id === "prune") return prune(call);
      if (!id) return list(table, call.query);
      return one(call, { table, id, verb, changes, tables });
    }
  }
}

const GIB = 1024 ** 3;
const VRAM = {
  host: "build-07",
  gpus: [],
  gpus_reason: "no NVIDIA driver",
  memory: {
    total_bytes: 16 * GIB,
    available_bytes: 4 * GIB,
    swap_total_bytes: 0,
    swap_free_bytes: 0,
  },
  pressure: { memory: { some_avg10: 1.5, full_avg10: 0 }, cpu: null, io: null },
  disk: {
    data: { path: "/var/lib/observer", total_bytes: GIB * 50, free_bytes: GIB * 9 },
    workspaces: [],
  },
};
const CAPABILITIES = [
  { name: "pidfd", state: "ok", purpose: "to follow one process", reason: "pidfd_open works" },
];

function list(table: Row[], query: Record<string, string>): Response {
  const { limit = "100", cursor = "0", since, until, ...filters } = query;
  const kept = table.filter((row) => {
    const time = String(row["time"] ?? row["started_at"] ?? row["created_at"]);
    if ((since && time < since) || (until && time > until)) return false;
    return Object.entries(filters).every(([field, value]) => String(row[field]) === value);
  });
  const from = Number(cursor);
  const end = from + Number(limit);
  return Response.json({
    items: kept.slice(from, end),
    next_cursor: end < kept.length ? String(end) : null,
  });
}

function create(call: Seen): Response {
  const body = call.body as Row;
  const row = {
    id: "n3w0n3w0n3w0n",
    kind: "manual",
    reason: "manual",
    status: "ok",
    files: 3,
    bytes: 120,
    verified: true,
    skipped: [],
    warnings: [],
    created_at: new Date(0).toISOString(),
  };
  return Response.json(
    { ...row, workspace: body["workspace"], label: body["label"] ?? null },
    { status: 201 },
  );
}

function prune(call: Seen): Response {
  const dryRun = (call.body as Row)["dry_run"] === true;
  const item = { id: "c7m2", workspace: "/srv/agents/shop", reason: "thinned", bytes: 2_048 };
  return Response.json({
    items: [item],
    dry_run: dryRun,
    freed_bytes: dryRun ? 0 : 1_024,
    failed: dryRun ? [] : [{ id: "d4f6", error: "it is stuck" }],
  });
}

function one(
  call: Seen,
  data: {
    table: Row[];
    id: string;
    verb: string | undefined;
    changes: Row[];
    tables: Record<string, Row[]>;
  },
): Response {
  const { table, id, verb, changes, tables } = data;
  const usable = table.filter(({ status }) => status === "ok" || status === "partial");
  const matches =
    id === "latest" ? usable.slice(0, 1) : table.filter((row) => String(row["id"]).startsWith(id));
  const [row] = matches;
  if (!row) return problem(404, `There is no row "${id}"`);
  if (matches.length > 1) return problem(409, `"${id}" names several rows`);
  switch (verb) {
    case undefined:
      return Response.json(call.method === "DELETE" ? { ...row, status: "deleted" } : row);
    case "events":
      return list(tables["events"] ?? [], { ...call.query, session_id: String(row["id"]) });
    case "pause": {
      const until = "2026-01-31T08:30:00.000Z";
      return Response.json({ agent_id: row["id"], pid: row["pid"], method: "freezer", until });
    }
    case "resume":
      return Response.json({ ...row, state: "running" });
    case "kill": {
      const pids = [row["pid"], 4_800];
      return Response.json({
        agent_id: row["id"],
        pids,
        killed: [],
        survivors: [],
        duration_ms: 40,
      });
    }
    case "resolve":
      return Response.json({ ...row, resolved_at: "2026-01-31T08:00:00.000Z" });
    case "diff":
      if (call.query["text"] === "1") return Response.json(textDiffOf(call.query["path"] ?? ""));
      return Response.json({
        checkpoint_id: row["id"],
        to_id: null,
        workspace: row["workspace"],
        items: changes,
        next_cursor: null,
      });
    case "pin":
      return Response.json({ ...row, pinned: (call.body as Row)["pinned"] ?? true });
    case "verify":
      return Response.json({
        id: row["id"],
        ok: row["status"] !== "partial",
        files_checked: 1_284,
        bytes_checked: 18_400_000,
        problems: row["status"] === "partial" ? ["data/x: content differs"] : [],
      });
    case "restore": {
      const dryRun = (call.body as Row)["dry_run"] === true;
      return Response.json({
        checkpoint_id: row["id"],
        workspace: row["workspace"],
        status: dryRun ? "planned" : "done",
        safety_id: dryRun ? null : "s4f3s4f3s4f3s",
        changes,
        untouched: 2,
        duration_ms: 87,
        warnings: [],
      });
    }
    default:
      return problem(404, `There is no ${call.path}`);
  }
}
