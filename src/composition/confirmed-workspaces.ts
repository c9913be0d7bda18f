// Workspaces that nobody configured, but in which the kernel shows an agent at work; and what saving each would cost.

import type { Agent } from "../core/agent.ts";
import type { Interruption } from "../core/interruption.ts";
import { messageOf } from "../core/errors.ts";
import type { ConfirmedWorkspace } from "../pipeline/workspaces.ts";
import { confirmWorkspace } from "../sources/processes/run-claim.ts";
import type { ProcessSource } from "../sources/processes/source.ts";
import type { Parts } from "./parts.ts";

/** Trouble is often told after the agent has ended. */
const REMEMBERED_MS = 60_000;
/** How long the duration of the last checkpoint is taken as known. */
const COST_HELD_MS = 1_000;

/** What saving an agent's work would be, as memory/pressure-judge asks for it. */
export interface SavingPlan {
  workspace: string;
  checkpointMs: number | null;
}

export interface ConfirmedWorkspaces {
  list(): ConfirmedWorkspace[];
  /** Whether trouble of this session or process may order a checkpoint, because `observer run` started the agent. */
  isOfRun(interruption: Interruption): boolean;
  /** Null when no checkpoint would follow. */
  savingOf(agent: Agent, isDebounced: (workspace: string) => boolean): SavingPlan | null;
}

interface Worker {
  agent: Agent;
  /** The run that started it, or one above it. */
  runId: string | null;
  /** All sessions that it was known to run, the newest last. */
  sessionIds: string[];
  goneMs: number | null;
}

interface Place {
  /** Null while it is being looked at, or when it cannot be saved. */
  backend: string | null;
  cost: { atMs: number; checkpointMs: number | null } | null;
}

export function createConfirmedWorkspaces(
  { registry, runOf }: Pick<ProcessSource, "registry" | "runOf">,
  parts: Parts,
): ConfirmedWorkspaces {
  const { clock, settings } = parts;
  const workers = new Map<string, Worker>();
  /** By `placeKey`. */
  const places = new Map<string, Place>();

  registry.onChange(({ kind, agent }) => {
    const fresh: Worker = { agent, runId: null, sessionIds: [], goneMs: null };
    const worker = workers.get(agent.id) ?? fresh;
    worker.agent = agent;
    worker.runId ??= runOf(agent.id);
    const { sessionId } = agent;
    if (sessionId !== null && !worker.sessionIds.includes(sessionId)) {
      worker.sessionIds.push(sessionId);
    }
    if (kind === "gone") worker.goneMs = clock.monotonic();
    workers.set(agent.id, worker);
    if (agent.workspace !== null && kind !== "gone")
      look(worker, { ...agent, path: agent.workspace });
  });

  const look = ({ runId }: Worker, { path, uid }: Agent & { path: string }): void => {
    const key = placeKey({ workspace: path, uid });
    if (places.has(key)) return;
    const place: Place = { backend: null, cost: null };
    places.set(key, place);
    void inspect({ path, uid }, parts).then((backend) => {
      place.backend = backend;
      if (backend === "store" && runId !== null) takeBaseline(path, parts);
    });
  };

  const current = (): Worker[] => {
    const since = clock.monotonic() - REMEMBERED_MS;
    for (const [id, { goneMs }] of workers)
      if (goneMs !== null && goneMs < since) workers.delete(id);
    for (const key of places.keys()) {
      if (!workers.values().some(({ agent }) => placeKey(agent) === key)) places.delete(key);
    }
    return [...workers.values()];
  };

  return {
    list: () => placesOf(current(), places),
    isOfRun: ({ sessionId, pid }) =>
      current().some(
        ({ agent, runId, sessionIds }) =>
          runId !== null &&
          (sessionId === null ? agent.pid === pid : sessionIds.includes(sessionId)),
      ),
    savingOf(agent, isDebounced) {
      const { workspace, id } = agent;
      if (workspace === null || (!settings["reactive.enabled"] && runOf(id) === null)) return null;
      const place = places.get(placeKey(agent));
      if (!place || place.backend === null || isDebounced(workspace)) return null;
      return { workspace, checkpointMs: costOf(workspace, { place, parts }) };
    },
  };
}

/** What one user may have saved, another may not. */
const placeKey = ({ workspace, uid }: Pick<Agent, "workspace" | "uid">): string =>
  `${uid}:${workspace}`;

/** Anybody can go to a directory that he cannot read, and call a program `claude` there. */
async function inspect(
  { path, uid }: { path: string; uid: number },
  { checkpoints, log }: Parts,
): Promise<string | null> {
  try {
    const isOurs = uid === 0 || uid === process.geteuid?.();
    const { refused } = await confirmWorkspace(path, { callerUid: uid, isOurs });
    if (refused !== null) {
      log.info("no workspace of an agent", { path, reason: refused });
      return null;
    }
    const { backend, reason } = await checkpoints.inspect(path);
    if (backend === null) log.info("no workspace of an agent", { path, reason });
    return backend;
  } catch (thrown) {
    log.warn("workspace of an agent could not be looked at", { path, error: messageOf(thrown) });
    return null;
  }
}

/** So that trouble costs only the difference. */
function takeBaseline(path: string, { checkpoints, store, log }: Parts): void {
  if (store.checkpointRows.list({ workspace: path, limit: 1 }).length > 0) return;
  const request = { workspace: path, kind: "baseline", reason: "first sight" } as const;
  checkpoints.create(request).catch((thrown: unknown) => {
    log.warn("no baseline of workspace", { workspace: path, error: messageOf(thrown) });
  });
}

/** Milliseconds that the last checkpoint of it took. */
function costOf(path: string, { place, parts }: { place: Place; parts: Parts }): number | null {
  const atMs = parts.clock.monotonic();
  if (place.cost === null || atMs - place.cost.atMs > COST_HELD_MS) {
    const [last] = parts.store.checkpointRows.list({
      workspace: path,
      status: ["ok", "partial"],
      limit: 1,
    });
    place.cost = { atMs, checkpointMs: last?.durationMs ?? null };
  }
  return place.cost.checkpointMs;
}

/** Those that can be saved, each with all who work in it. */
function placesOf(workers: Worker[], places: ReadonlyMap<string, Place>): ConfirmedWorkspace[] {
  const found = new Map<
    string,
    ConfirmedWorkspace & { sessionIds: string[]; pids: number[]; named: boolean }
  >();
  for (const { agent, sessionIds } of workers) {
    const path = agent.workspace;
    if (path === null || (places.get(placeKey(agent))?.backend ?? null) === null) continue;
    const entry = found.get(path) ?? {
      path,
      realPath: path,
      sessionIds: [],
      pids: [],
      named: false,
    };
    entry.sessionIds.push(...sessionIds);
    entry.pids.push(agent.pid);
    entry.named ||= agent.runId !== null;
    found.set(path, entry);
  }
  return [...found.values()];
}
