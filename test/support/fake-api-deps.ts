// An observer without a store, for tests of the HTTP surface: everything it is given is kept in memory.
// Fake: reads filter by equality only, offers are committed at once, checkpoints are rows without content.

import type { ApiDeps, LiveFrame, Reads } from "../../src/api/deps.ts";
import { bindListener, type Listener, type Via } from "../../src/api/listener.ts";
import { type Api, createApi } from "../../src/api/server.ts";
import { defaultSettings, type Settings } from "../../src/config/settings.ts";
import { BUILD_INFO } from "../../src/core/build-info.ts";
import type { Checkpoint, CreateRequest, RestoreRequest } from "../../src/core/checkpoint.ts";
import { ObserverError } from "../../src/core/errors.ts";
import type { EventDraft, EventKind, ObserverEvent, Receipt } from "../../src/core/event.ts";
import type { Interruption } from "../../src/core/interruption.ts";
import type { ReactionRecord } from "../../src/core/reaction.ts";
import type { Session } from "../../src/core/session.ts";
import type { ListQuery } from "../../src/store/query.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { createFakeAgents, type FakeAgents } from "./fake-agents.ts";

/** 2026-01-01T00:00:00.000Z. */
export const NOW = 1_767_225_600_000;
export const OWN_UID = 1000;
export const ADMIN_TOKEN = "admin-token-of-tests";
export const READ_TOKEN = "read-token-of-tests";
export const INGEST_TOKEN = "ingest-token-of-tests";

export interface Fake {
  deps: ApiDeps;
  offered: EventDraft[];
  slices: number[];
  queries: ListQuery[];
  calls: unknown[];
  logged: string[];
  rows: {
    events: ObserverEvent[];
    sessions: Session[];
    interruptions: Interruption[];
    reactions: ReactionRecord[];
    checkpoints: Checkpoint[];
  };
  agents: FakeAgents;
  time: { monotonicMs: number };
  /** Answers of the next offers, instead of accepting all. */
  answerWith(answer: ((drafts: EventDraft[]) => Promise<Receipt[]>) | null): void;
}

function memoryReads<T extends { id: string }>(rows: T[], fake: Pick<Fake, "queries">): Reads<T> {
  return {
    list(query) {
      fake.queries.push(query);
      if (query.filters["unknown"] !== undefined) {
        return Promise.reject(
          new ObserverError("invalid", 'Cannot filter by "unknown": there is no such field'),
        );
      }
      const workspace = query.filters["workspace"];
      const matching = rows.filter(
        (row) =>
          workspace === undefined || (row as { workspace?: unknown }).workspace === workspace,
      );
      return Promise.resolve({ items: matching.slice(0, query.limit), nextCursor: null });
    },
    get: (id) => rows.find((row) => row.id === id) ?? null,
  };
}

/** A draft as the parsers of `sources/` make it, with the one rule that these tests need. */
function parseFake(body: unknown, kind: EventKind | null): EventDraft {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new ObserverError("invalid", "Cannot take event: it must be a JSON object");
  }
  const given = (body as { kind?: unknown }).kind;
  if (kind === null && typeof given !== "string") {
    throw new ObserverError("invalid", 'Cannot take event: "kind" is missing');
  }
  return { kind: kind ?? (given as EventKind), source: "test", data: { ...body } };
}

export function createFake(settings: Partial<Settings> = {}): Fake {
  const state = { offered: [] as EventDraft[], slices: [] as number[], queries: [] as ListQuery[] };
  const calls: unknown[] = [];
  const logged: string[] = [];
  const rows: Fake["rows"] = {
    events: [],
    sessions: [],
    interruptions: [],
    reactions: [],
    checkpoints: [],
  };
  const agents = createFakeAgents(calls);
  const time = { monotonicMs: 0 };
  let answer: ((drafts: EventDraft[]) => Promise<Receipt[]>) | null = null;
  const log = (message: string, fields?: object): void =>
    void logged.push(`${message} ${JSON.stringify(fields ?? {})}`);
  const checkpointOf = (id: string): Checkpoint => {
    const found = rows.checkpoints.find((row) => row.id === id);
    if (!found) throw new ObserverError("not_found", `There is no checkpoint "${id}"`);
    return found;
  };
  const deps: ApiDeps = {
    ...agents.deps,
    build: BUILD_INFO,
    settings: { ...defaultSettings(), ...settings } as Settings,
    clock: { now: () => NOW, monotonic: () => (time.monotonicMs += 0.001) },
    log: { error: log, warn: log, info: log, debug: log },
    metrics: createMetrics(),
    host: "test-host",
    tokens: `${ADMIN_TOKEN}\nread:${READ_TOKEN}\ningest:${INGEST_TOKEN}\n`,
    ownUid: OWN_UID,
    async offer(drafts) {
      state.slices.push(drafts.length);
      if (answer) return answer(drafts);
      state.offered.push(...drafts);
      await Promise.resolve();
      return drafts.map((_, at) => ({ status: "accepted", id: `e${at}`, seq: at }));
    },
    parseOperation: (body) => parseFake(body, "operation"),
    parseNative: (body) => parseFake(body, null),
    pressure: () => null,
    hooks: { "claude-code": (body) => [parseFake(body, "note")] },
    ring: {
      size: () => state.offered.length,
      stats: () => ({
        total: state.offered.length,
        successes: 0,
        failures: 0,
        by_source: {},
        recent_scenario_ops: [],
        all_time: { total: 0, successes: 0, failures: 0, by_source: {} },
      }),
    },
    events: memoryReads(rows.events, state),
    sessions: memoryReads(rows.sessions, state),
    interruptions: {
      ...memoryReads(rows.interruptions, state),
      resolve(id) {
        const found = rows.interruptions.find((row) => row.id === id);
        return found ? Object.assign(found, { resolvedMs: NOW }) : null;
      },
    },
    reactions: memoryReads(rows.reactions, state),
    checkpointRows: {
      ...memoryReads(rows.checkpoints, state),
      byPrefix: (prefix) => rows.checkpoints.filter(({ id }) => id.startsWith(prefix)).slice(0, 2),
    },
    checkpoints: {
      async create(request: CreateRequest) {
        calls.push(["create", request]);
        const row = { ...checkpoint("new1"), workspace: request.workspace };
        if (request.workspace === "/broken") return { ...row, status: "failed", error: "no disk" };
        if (request.workspace === "/") throw new ObserverError("refused_path", "Cannot use /");
        return row;
      },
      async diff(...args) {
        calls.push(["diff", ...args]);
        return [{ path: "a.txt", change: "added", type: "file", size_after: 3 }];
      },
      async diffText(...args) {
        calls.push(["diffText", ...args]);
        return { path: "a.txt", size_before: 2, size_after: 2, text: "--- a/a.txt\n" };
      },
      async restore(request: RestoreRequest) {
        calls.push(["restore", request]);
        return {
          checkpoint_id: request.id,
          workspace: "/w",
          status: request.dryRun ? "planned" : "done",
          safety_id: null,
          changes: [],
          untouched: 0,
          duration_ms: 1,
          warnings: [],
        };
      },
      async verify(id) {
        return { id, ok: true, files_checked: 1, bytes_checked: 1, problems: [] };
      },
      delete: async (id) => Object.assign(checkpointOf(id), { status: "deleted" }),
      pin: async (id, pinned) => Object.assign(checkpointOf(id), { pinned }),
      async prune(request) {
        calls.push(["prune", request]);
        return {
          items: [{ id: "c1", workspace: "/w", reason: "age", bytes: 5 }],
          dry_run: request.dryRun === true,
          freed_bytes: request.dryRun ? 0 : 5,
          failed: [],
        };
      },
      inspect: async () => ({
        backend: "store",
        reason: "",
        path: "/w",
        identity: "1:2",
        unsure: false,
      }),
    },
    live: createFakeFeed(),
    peerUid: () => null,
    startedMs: 0,
    protection: () => ({ armed: false, workspaces: [] }),
    unready: () => null,
    assets: new Map([
      ["/", { body: new TextEncoder().encode("<!doctype html>page"), type: "text/html" }],
      ["/app.js", { body: new TextEncoder().encode("1;"), type: "application/javascript" }],
      ["/client.js", { body: new TextEncoder().encode("2;"), type: "application/javascript" }],
    ]),
  };
  return {
    deps,
    ...state,
    calls,
    logged,
    rows,
    agents,
    time,
    answerWith: (next) => void (answer = next),
  };
}

/** Holds every frame. */
function createFakeFeed(): ApiDeps["live"] {
  const held: LiveFrame[] = [];
  const listeners = new Set<(frames: LiveFrame[]) => void>();
  return {
    publish(type, data) {
      const frame = { id: held.length + 1, type, data };
      held.push(frame);
      for (const deliver of listeners) deliver([frame]);
    },
    subscribe(afterId, deliver) {
      const missed = afterId === null ? [] : held.filter(({ id }) => id > afterId);
      if (missed.length > 0) deliver(missed);
      listeners.add(deliver);
      return () => void listeners.delete(deliver);
    },
  };
}

/** A listener that says of every request what the test says; its peer is nobody unless `uid` is looked up. */
export function listenerVia(via: Via, port: number | null = 3800): Listener {
  return {
    via: () => via,
    ends: () =>
      via === "unix"
        ? null
        : {
            localAddress: "127.0.0.1",
            localPort: 3800,
            remoteAddress: "127.0.0.1",
            remotePort: 40_000,
          },
    keepOpen: () => {},
    port: () => port,
  };
}

export interface CallOptions {
  method?: string;
  headers?: Record<string, string>;
  body?: RequestInit["body"];
  via?: Via;
  /** Value of the Host header; null for none. */
  host?: string | null;
}

/** Calls the API as over a socket. By default over the unix socket, which may do everything. */
export function caller(fake: Fake) {
  const api: Api = createApi(fake.deps);
  const call = (path: string, options: CallOptions = {}): Promise<Response> => {
    const { method = "GET", via = "unix", host = "localhost:3800", body } = options;
    const headers = new Headers(options.headers);
    if (host !== null) headers.set("host", host);
    const request = new Request(`http://localhost:3800${path}`, {
      method,
      headers,
      ...(body === undefined || body === null ? {} : { body }),
    });
    bindListener(request, listenerVia(via));
    return api.handle(request);
  };
  return { api, call };
}

export async function bodyOf(response: Response): Promise<Record<string, unknown>> {
  return (await response.json()) as Record<string, unknown>;
}

export function event(id: string, data: Record<string, unknown> = {}): ObserverEvent {
  return {
    seq: 1,
    id,
    kind: "note",
    source: "test",
    timeMs: NOW,
    receivedMs: NOW + 5,
    host: "test-host",
    data,
  };
}

export function session(id: string): Session {
  return {
    id,
    host: "test-host",
    agent: "claude-code",
    workspace: "/w",
    pid: 42,
    startedMs: NOW,
    lastMs: NOW + 1_000,
    endedMs: null,
    endReason: null,
    events: 3,
    toolCalls: 2,
    errors: 1,
    tokens: { input: 1, output: 2, cache_read: 3, cache_write: 4 },
    costUsd: 0.5,
    unpricedCalls: 0,
  };
}

export function interruption(id: string): Interruption {
  return {
    id,
    type: "dead_loop",
    severity: "critical",
    host: "test-host",
    fingerprint: "f",
    sessionId: "s1",
    agent: "claude-code",
    workspace: "/w",
    pid: null,
    timeMs: NOW,
    detectedMs: NOW + 12,
    summary: "read, edit, test, again",
    detail: { limit: 3, value: 4 },
    evidence: ["e1"],
    count: 2,
    firstMs: NOW - 10,
    lastMs: NOW,
    resolvedMs: null,
  };
}

export function reaction(id: string): ReactionRecord {
  return {
    id,
    interruptionId: "i1",
    host: "test-host",
    kind: "alert",
    status: "done",
    reason: "critical",
    workspace: "/w",
    sessionId: "s1",
    startedMs: NOW,
    durationMs: 7,
    detail: { file: true },
  };
}

export function checkpoint(id: string): Checkpoint {
  return {
    id,
    host: "test-host",
    workspace: "/w",
    backend: "store",
    kind: "manual",
    reason: "manual",
    label: null,
    interruptionId: null,
    sessionId: null,
    agent: null,
    createdMs: NOW,
    durationMs: 9,
    files: 2,
    bytes: 10,
    verified: true,
    pinned: false,
    parentId: null,
    status: "ok",
    skipped: [{ path: "big.bin", reason: "too large", listedOnly: false }],
    warnings: [],
    ref: "r",
    identity: "x",
    error: null,
  };
}
