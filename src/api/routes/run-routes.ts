// Runs: `observer run` tells of the command that it started, and of its end.

import { constants } from "node:os";
import { type Static, Type } from "@sinclair/typebox";
import { ObserverError } from "../../core/errors.ts";
import { ID_PATTERN } from "../../core/ids.ts";
import { CONTAINMENTS, type RunRequest } from "../../core/run.ts";
import { readCommand } from "../command-body.ts";
import type { ApiDeps } from "../deps.ts";
import { HttpError } from "../problem.ts";
import { type Call, json, type Route } from "../route.ts";

/** PATH_MAX of Linux, in bytes. */
const PATH_LENGTH_MAX = 4_096;
/** Enough to tell which agent it is; the client clips both. */
const COMMAND_WORDS_MAX = 100;
const WORD_LENGTH_MAX = 2_000;
const NAME_LENGTH_MAX = 100;
/** pid_max of 64-bit Linux. */
const PID_MAX = 4_194_304;

const strict = { additionalProperties: false };
const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Union([schema, Type.Null()]);
const path = Type.String({ minLength: 1, maxLength: PATH_LENGTH_MAX });
const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

const word = Type.String({ maxLength: WORD_LENGTH_MAX });
const claim = {
  pid: Type.Integer({ minimum: 1, maximum: PID_MAX }),
  start_ticks: count,
  name: Type.Optional(nullable(Type.String({ minLength: 1, maxLength: NAME_LENGTH_MAX }))),
  command: Type.Array(word, { minItems: 1, maxItems: COMMAND_WORDS_MAX }),
  workspace: Type.Optional(nullable(path)),
};
const Cgroups = Type.Object(
  {
    unified: nullable(path),
    memory: nullable(path),
    memory_version: nullable(Type.Union([Type.Literal(1), Type.Literal(2)])),
    freezer: nullable(path),
  },
  strict,
);

const RunBody = Type.Object(
  {
    ...claim,
    id: Type.String({ pattern: ID_PATTERN.source }),
    started_ms: Type.Number({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    cwd: path,
    containment: Type.Union(CONTAINMENTS.map((name) => Type.Literal(name))),
    cgroups: Type.Optional(nullable(Cgroups)),
    memory_limit_bytes: Type.Optional(nullable(count)),
  },
  strict,
);

const ExitBody = Type.Object(
  {
    ...claim,
    exit_code: Type.Optional(nullable(Type.Integer({ minimum: 0, maximum: 255 }))),
    signal: Type.Optional(nullable(Type.String({ maxLength: 20 }))),
    duration_ms: Type.Number({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  },
  strict,
);

export function runRoutes(deps: ApiDeps): Route[] {
  return [
    {
      endpoint: "POST /runs",
      summary: "Tells of a command that the caller started with `observer run`; may be repeated.",
      body: RunBody,
      status: 201,
      async handle(call) {
        const body = await readCommand(call, { deps, schema: RunBody });
        const run = await deps.adoptRun(requestOf(body), callerUid(call, deps));
        const view = {
          run_id: run.runId,
          session_id: run.sessionId,
          agent_id: run.agentId,
          workspace: run.workspace,
        };
        return json(view, { status: 201 });
      },
    },
    {
      endpoint: "POST /runs/:id/exit",
      summary: "Tells how the command of a run ended, as its parent saw it.",
      body: ExitBody,
      handle: (call) => takeExit(call, deps),
    },
  ];
}

async function takeExit(call: Call, deps: ApiDeps): Promise<Response> {
  const id = call.params["id"] ?? "";
  const body = await readCommand(call, { deps, schema: ExitBody });
  const { exit_code: exitCode = null, signal = null, duration_ms: durationMs } = body;
  if (!ID_PATTERN.test(id)) throw notUsable("id", id, "must be the id of a run");
  if (signal !== null && !Object.hasOwn(constants.signals, signal)) {
    throw notUsable("signal", signal, "must be a signal's name such as SIGKILL");
  }
  if ((exitCode === null) === (signal === null)) {
    const value = String(exitCode ?? signal);
    throw notUsable("exit_code", value, "must be given, or signal, and not both");
  }
  const exit = { ...claimOf(body), exitCode, signal, durationMs };
  await deps.reportRunExit(id, exit, callerUid(call, deps));
  return json({ accepted: true });
}

/**
 * Who calls, as the kernel tells: a run is taken only for a process of its caller. Throws 403 where that
 * cannot be told. The unix socket lets in only observer's own user and root, who may do all that it may.
 */
function callerUid({ request, listener }: Call, deps: ApiDeps): number {
  if (listener.via(request) === "unix") return deps.ownUid;
  const ends = listener.via(request) === "loopback" ? listener.ends(request) : null;
  const uid = ends && deps.peerUid(ends);
  if (uid !== null) return uid;
  throw new HttpError(
    { status: 403, code: "not_permitted" },
    "Refused: a run is taken from this host only, and the kernel does not tell who calls",
  );
}

function claimOf(body: Static<typeof RunBody> | Static<typeof ExitBody>) {
  return {
    pid: body.pid,
    startTicks: body.start_ticks,
    name: body.name ?? null,
    command: body.command,
    workspace: body.workspace ?? null,
  };
}

function requestOf(body: Static<typeof RunBody>): RunRequest {
  const { cgroups = null } = body;
  return {
    ...claimOf(body),
    id: body.id,
    startedMs: body.started_ms,
    cwd: body.cwd,
    containment: body.containment,
    cgroups: cgroups && {
      unified: cgroups.unified,
      memory: cgroups.memory,
      memoryVersion: cgroups.memory_version,
      freezer: cgroups.freezer,
    },
    memoryLimitBytes: body.memory_limit_bytes ?? null,
  };
}

function notUsable(field: string, value: string, rule: string): ObserverError {
  const shown = value.slice(0, 200);
  return new ObserverError("invalid", `Cannot use "${field}": it ${rule}`, {
    detail: { field, value: shown, rule },
  });
}
