// Checkpoints: taken, listed, compared, restored, kept, removed.

import { Type } from "@sinclair/typebox";
import type { Checkpoint, CheckpointService, CreateRequest } from "../../core/checkpoint.ts";
import { resolveCheckpoint } from "../checkpoint-id.ts";
import { readCommand } from "../command-body.ts";
import type { ApiDeps } from "../deps.ts";
import { knownParameters } from "../list-query.ts";
import { HttpError } from "../problem.ts";
import { type Call, json, type Route } from "../route.ts";
import { checkpointView } from "../views.ts";
import { listRoute } from "./resource-routes.ts";

/** Longest label; it is shown in one column of a list. */
const LABEL_LENGTH_MAX = 200;
export const PATH_LENGTH_MAX = 4_096;

// Unknown fields are refused: a misspelt "dry_run" must not restore in earnest.
const strict = { additionalProperties: false };
const path = Type.String({ minLength: 1, maxLength: PATH_LENGTH_MAX });
const CreateBody = Type.Object(
  {
    workspace: path,
    label: Type.Optional(Type.String({ maxLength: LABEL_LENGTH_MAX })),
  },
  strict,
);
const RestoreBody = Type.Object(
  {
    path: Type.Optional(path),
    freeze: Type.Optional(Type.Boolean()),
    force: Type.Optional(Type.Boolean()),
    dry_run: Type.Optional(Type.Boolean()),
  },
  strict,
);
const PinBody = Type.Object({ pinned: Type.Optional(Type.Boolean()) }, strict);

export function checkpointRoutes(deps: ApiDeps): Route[] {
  return [...readRoutes(deps), ...writeRoutes(deps)];
}

function readRoutes(deps: ApiDeps): Route[] {
  return [
    listRoute("GET /checkpoints", {
      summary: "Saved states of workspaces, newest first.",
      rows: deps.checkpointRows,
      view: checkpointView,
    }),
    {
      endpoint: "GET /checkpoints/:id",
      summary: "One checkpoint, by its id, a unique prefix of it, or `latest`.",
      query: { workspace: "With `latest`: the newest one of this workspace." },
      async handle(call) {
        const parameters = knownParameters(call.request.url, ["workspace"]);
        return json(
          checkpointView(await resolve(call, deps, { workspace: parameters.get("workspace") })),
        );
      },
    },
    {
      endpoint: "GET /checkpoints/:id/diff",
      summary: "What changed since: against another checkpoint, or against the workspace as it is.",
      query: {
        to: "The other checkpoint: id, unique prefix or `latest`. Absent: the live workspace.",
        path: "Only this path and what is under it, relative to the workspace.",
        text: "1: what changed inside the one file at `path`, as a unified diff. Needs scope admin.",
      },
      // Paths and sizes are for who may look; the content of files may hold anything.
      accessFor: ({ url }) => (new URL(url).searchParams.has("text") ? "admin" : "read"),
      takesLong: true,
      handle: (call) => showDiff(call, deps),
    },
  ];
}

function writeRoutes(deps: ApiDeps): Route[] {
  const service = deps.checkpoints;
  return [
    {
      endpoint: "POST /checkpoints",
      summary: "Takes a checkpoint; answered when it is complete.",
      body: CreateBody,
      status: 201,
      takesLong: true,
      handle: (call) => create(call, deps),
    },
    {
      endpoint: "POST /checkpoints/:id/restore",
      summary: "Puts a saved state back, after a safety checkpoint of what is there.",
      body: RestoreBody,
      takesLong: true,
      handle: (call) => restore(call, deps),
    },
    {
      endpoint: "POST /checkpoints/:id/pin",
      summary: "Keeps a checkpoint out of retention, or with pinned=false no longer.",
      body: PinBody,
      async handle(call) {
        const { id } = await resolve(call, deps);
        const { pinned = true } = await readCommand(call, { deps, schema: PinBody });
        return json(checkpointView(await service.pin(id, pinned)));
      },
    },
    {
      endpoint: "POST /checkpoints/:id/verify",
      summary: "Reads a checkpoint's content back and compares it.",
      takesLong: true,
      handle: async (call) => json(await service.verify((await resolve(call, deps)).id)),
    },
    {
      endpoint: "DELETE /checkpoints/:id",
      summary: "Removes a checkpoint's content; its row stays, with status deleted.",
      takesLong: true,
      handle: async (call) =>
        json(checkpointView(await service.delete((await resolve(call, deps)).id))),
    },
  ];
}

function resolve(
  { params }: Call,
  deps: ApiDeps,
  options: { workspace?: string | undefined } = {},
): Promise<Checkpoint> {
  return resolveCheckpoint(deps.checkpointRows, { name: params["id"] ?? "", ...options });
}

async function create(call: Call, deps: ApiDeps): Promise<Response> {
  const { workspace, label } = await readCommand(call, { deps, schema: CreateBody });
  const request: CreateRequest = { workspace, kind: "manual", reason: "manual" };
  if (label !== undefined) request.label = label;
  const checkpoint = await deps.checkpoints.create(request);
  const view = checkpointView(checkpoint);
  if (checkpoint.status === "ok" || checkpoint.status === "partial") {
    return json(view, { status: 201, headers: { location: `/checkpoints/${checkpoint.id}` } });
  }
  const timedOut = checkpoint.status === "unknown";
  throw new HttpError(
    timedOut ? { status: 504, code: "timeout" } : { status: 500, code: "failed" },
    `Cannot checkpoint "${workspace}": ${checkpoint.error ?? checkpoint.status}`,
    { detail: { checkpoint: view } },
  );
}

async function restore(call: Call, deps: ApiDeps): Promise<Response> {
  const { path, freeze, force, dry_run } = await readCommand(call, { deps, schema: RestoreBody });
  const request: Parameters<CheckpointService["restore"]>[0] = {
    id: (await resolve(call, deps)).id,
    dryRun: dry_run ?? false,
    freeze: freeze ?? false,
    force: force ?? false,
  };
  if (path !== undefined) request.path = path;
  return json(await deps.checkpoints.restore(request));
}

async function showDiff(call: Call, deps: ApiDeps): Promise<Response> {
  const parameters = knownParameters(call.request.url, ["to", "path", "text"]);
  const wanted = parameters.get("text");
  if (wanted !== undefined && wanted !== "1")
    throw new HttpError({ status: 400, code: "invalid" }, 'Cannot use parameter "text": it is 1', {
      detail: { field: "text", value: wanted },
    });
  const from = await resolve(call, deps);
  const name = parameters.get("to");
  const to = name === undefined ? null : await resolveCheckpoint(deps.checkpointRows, { name });
  if (wanted !== undefined) {
    const text = await deps.checkpoints.diffText(from.id, to?.id, parameters.get("path") ?? "");
    return json({
      checkpoint_id: from.id,
      to_id: to?.id ?? null,
      workspace: from.workspace,
      ...text,
    });
  }
  const changes = await deps.checkpoints.diff(from.id, to?.id, parameters.get("path"));
  // All in one page: the number of files in a checkpoint is limited already, and half a diff misleads.
  return json({
    checkpoint_id: from.id,
    to_id: to?.id ?? null,
    workspace: from.workspace,
    items: changes,
    next_cursor: null,
  });
}
