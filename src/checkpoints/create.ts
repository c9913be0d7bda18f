// Takes checkpoints: a row before, the helper's work, the row with its outcome after.

import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Checkpoint, CreateRequest } from "../core/checkpoint.ts";
import { messageOf, ObserverError } from "../core/errors.ts";
import { newId } from "../core/ids.ts";
import { createRedactor } from "../core/redact.ts";
import type { Saved } from "./backend.ts";
import type { BytePath } from "./byte-path.ts";
import type { StartedHelper } from "./helper-runner.ts";
import type { Inspection } from "./protocol.ts";
import type { Retention } from "./prune.ts";
import type { ServiceParts } from "./service-parts.ts";
import { ensurePrivate, PRIVATE_FILE } from "./store/layout.ts";
import { refuseText } from "./workspace.ts";

/** A parent of the same backend is looked for among this many; another one is the exception. */
const PARENTS_MAX = 10;
/** A label is the one text of a caller's own that a row keeps. */
const redactor = createRedactor();

export interface Creator {
  create(request: CreateRequest): Promise<Checkpoint>;
  /** The same for a caller that already has the workspace to itself. `include`: held whatever the rules say. */
  createAlone(request: CreateRequest, include: BytePath[]): Promise<Checkpoint>;
  /** The row with what is known to be saved. */
  settle(row: Checkpoint, saved: Saved): Checkpoint;
}

export function createCreator(parts: ServiceParts, retention: Retention): Creator {
  const { deps } = parts;
  const finish = (row: Checkpoint): Checkpoint => {
    deps.rows.update(row);
    report(parts, row);
    return row;
  };
  const createAt = async (
    request: CreateRequest,
    { found, include }: { found: Inspection; include: BytePath[] },
  ): Promise<Checkpoint> => {
    const row = pendingRow(parts, request, found);
    deps.rows.insert(row);
    parts.inUse.add(row.id);
    const started = deps.clock.monotonic();
    const timed = (): number => Math.round(deps.clock.monotonic() - started);
    let done: Checkpoint;
    try {
      done = await attempt(parts, { row, include, retention });
    } catch (error) {
      // No room: the row tells it too, but the one who asked must hear why.
      finish({ ...unsettled(deps.rows.get(row.id) ?? row, error), durationMs: timed() });
      throw error;
    } finally {
      parts.inUse.delete(row.id);
    }
    return finish({ ...done, durationMs: timed() });
  };
  return {
    async create(request) {
      refuseText(request.workspace);
      let found: Inspection;
      try {
        found = await inspect(parts, request.workspace);
      } catch (error) {
        if (isRefusal(error)) throw error;
        return notBegun(parts, request, error);
      }
      return await parts.exclusive(
        found.workspace,
        async () => await createAt(request, { found, include: [] }),
      );
    },
    createAlone: async (request, include) =>
      await createAt(request, { found: await inspect(parts, request.workspace), include }),
    settle,
  };
}

/** The caller's mistake; everything else is a checkpoint that failed, and gets its row. */
function isRefusal(error: unknown): boolean {
  return error instanceof ObserverError && ["refused_path", "invalid"].includes(error.code);
}

/** The workspace could not even be looked at: a hung file system, no memory for a helper. */
function notBegun(parts: ServiceParts, request: CreateRequest, error: unknown): Checkpoint {
  const row = pendingRow(parts, request, { workspace: request.workspace, backend: "store" });
  const done = unsettled(row, error);
  parts.deps.rows.insert(done);
  report(parts, done);
  return done;
}

async function inspect({ runner, options }: ServiceParts, workspace: string): Promise<Inspection> {
  return await runner.run({
    op: "inspect",
    request: { workspace },
    deadlineMs: options.deadlineMs,
  });
}

function pendingRow(
  { options, deps }: ServiceParts,
  request: CreateRequest,
  found: Pick<Inspection, "workspace" | "backend"> & { identity?: string },
): Checkpoint {
  const before = deps.rows.list({
    workspace: found.workspace,
    status: ["ok", "partial"],
    limit: PARENTS_MAX,
  });
  return {
    id: newId(),
    host: options.host,
    workspace: found.workspace,
    backend: found.backend,
    kind: request.kind,
    reason: request.reason,
    label: request.label === undefined ? null : redactor.text(request.label),
    interruptionId: request.interruptionId ?? null,
    sessionId: request.sessionId ?? null,
    agent: request.agent ?? null,
    createdMs: deps.clock.now(),
    durationMs: null,
    files: null,
    bytes: null,
    verified: false,
    pinned: false,
    parentId: before.find((row) => row.backend === found.backend)?.id ?? null,
    status: "pending",
    skipped: [],
    warnings: [],
    ref: null,
    identity: found.identity ?? null,
    error: null,
  };
}

interface Attempt {
  row: Checkpoint;
  include: BytePath[];
  retention: Retention;
}

/** Throws `no_space` only. */
async function attempt(parts: ServiceParts, job: Attempt): Promise<Checkpoint> {
  const { row } = job;
  if (row.backend === "store") return await attemptStore(parts, job);
  try {
    return settle(row, await runCreate(parts, job));
  } catch (error) {
    if (isTimeout(error)) return unsettled(row, error);
    // The next backend may still save it; the row says what happened to the first.
    const second: Checkpoint = {
      ...row,
      backend: "store",
      parentId: null,
      warnings: [`${row.backend} failed, store was used: ${messageOf(error)}`],
    };
    parts.deps.rows.update(second);
    return await attemptStore(parts, { ...job, row: second });
  }
}

async function attemptStore(parts: ServiceParts, job: Attempt): Promise<Checkpoint> {
  const { row, retention } = job;
  try {
    await retention.expectRoom(row.workspace);
    const saved = await retention.withRoom(async () => {
      // What only tidies up must not hold the store when something is to be saved.
      parts.background.giveWay();
      return await runCreate(parts, job);
    });
    retention.afterSave();
    return settle(row, saved);
  } catch (error) {
    if (error instanceof ObserverError && error.code === "no_space") throw error;
    return unsettled(row, error);
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof ObserverError && error.code === "timeout";
}

async function runCreate(
  { runner, options }: ServiceParts,
  { row, include, retention }: Attempt,
): Promise<Saved> {
  const { exclude, fileBytesMax, filesMax, totalBytesMax } = options;
  return await runner.run({
    op: "create",
    request: {
      id: row.id,
      workspace: row.workspace,
      backend: row.backend,
      rules: { exclude, defaultExcludes: true, fileBytesMax, filesMax, totalBytesMax },
      include,
      background: row.kind === "baseline",
      keepFreeBytes: row.backend === "store" ? retention.guard() : 0,
    },
    deadlineMs: row.backend === "store" ? options.storeDeadlineMs : options.deadlineMs,
    onStart: (started) => noteHelper(options.directory, row.id, started),
  });
}

function settle(row: Checkpoint, saved: Saved): Checkpoint {
  const whole = saved.skipped.every((skipped) => skipped.listedOnly);
  return {
    ...row,
    ref: saved.ref,
    identity: saved.identity,
    files: saved.files,
    bytes: saved.bytes,
    verified: saved.verified,
    skipped: saved.skipped,
    warnings: [...row.warnings, ...saved.warnings],
    status: whole ? "ok" : "partial",
    error: null,
  };
}

function unsettled(row: Checkpoint, error: unknown): Checkpoint {
  return { ...row, status: isTimeout(error) ? "unknown" : "failed", error: messageOf(error) };
}

function report({ deps }: ServiceParts, row: Checkpoint): void {
  const { id, workspace, backend, status, durationMs } = row;
  deps.metrics.add("observer_checkpoints_total", 1, { backend, status });
  const fields = { id, workspace, backend, status, duration_ms: durationMs, error: row.error };
  if (status === "ok" || status === "partial") deps.log.info("checkpoint taken", fields);
  else deps.log.warn("checkpoint not taken", fields);
}

/** Where the helper of a checkpoint is noted, so that a restarted observer can tell whether it still works. */
export function helperNote(directory: string, id: string): string {
  return join(directory, "running", `${id}.json`);
}

function noteHelper(directory: string, id: string, started: StartedHelper): void {
  const path = helperNote(directory, id);
  ensurePrivate(join(directory, "running"));
  const { pid, startTicks } = started;
  writeFileSync(path, JSON.stringify({ pid, startTicks }), { mode: PRIVATE_FILE });
  void started.exited.finally(() => rmSync(path, { force: true }));
}
