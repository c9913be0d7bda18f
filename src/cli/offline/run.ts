// `observer run`: starts CMD as an observed agent, passes everything through, and tells the daemon of it.

import { existsSync } from "node:fs";
import { basename } from "node:path";
import { messageOf } from "../../core/errors.ts";
import { clip, printable } from "../../core/text.ts";
import { newId } from "../../core/ids.ts";
import { type RunRequest, runSessionId } from "../../core/run.ts";
import { formatSize } from "../../core/units.ts";
import { instanceName } from "../../config/instance-name.ts";
import { bootId } from "../../kernel/boot.ts";
import { readKernelText } from "../../kernel/kernel-file.ts";
import { readStat } from "../../kernel/procfs.ts";
import { createClient } from "../client.ts";
import { daemonRoutes, dataDirectory, type WhereFlags } from "../find-daemon.ts";
import type { CliIo } from "../io.ts";
import type { RunOptions } from "../local.ts";
import { type Contained, contain } from "./run/containment.ts";
import { ignoredSignals, launchCommand } from "./run/launch.ts";
import { findProgram } from "./run/program.ts";
import { createReporter, RUN_PACE, type Reporter } from "./run/report.ts";
import { forwardSignals } from "./run/signals.ts";
import { createSpoolFile } from "./run/spool-file.ts";
import { runWorkspace } from "./run/workspace.ts";

/** What the API takes of a command line: enough to tell which agent it is. */
const COMMAND_WORDS_MAX = 100;
const WORD_LENGTH_MAX = 2_000;
/** A shell's exit status for a program that is there and cannot be started. */
const CANNOT_START = 126;
/** The daemon is near; CMD's exit must not wait for it. */
const DAEMON_PATIENCE_MS = 1_000;

interface Setting {
  id: string;
  dataDir: string;
  ignored: number[];
  workspace: string | null;
  /** Told also when it shall be quiet. */
  say(text: string): void;
  /** Told unless it shall be quiet. */
  remark(text: string): void;
}

/** Resolves with CMD's exit status, 128+n for a signal; 126 or 127 when it cannot be started. */
export async function runCommand(options: RunOptions, io: CliIo): Promise<number> {
  const say = (text: string): void => io.stderr(`observer run: ${printable(text)}\n`);
  const remark = options.quiet ? (): void => undefined : say;
  const [name = ""] = options.command;
  const program = findProgram(name, { cwd: io.cwd, path: io.env["PATH"] });
  if ("status" in program) {
    say(`${name}: ${program.reason}`);
    return program.status;
  }
  const dataDir = dataDirectory(io, options.where.data);
  const workspace = runWorkspace(options.workspace, { cwd: io.cwd, dataDir });
  const setting: Setting = {
    id: newId(),
    dataDir,
    ignored: ignoredSignals(readKernelText("/proc/self/status") ?? ""),
    workspace: "path" in workspace ? workspace.path : null,
    remark,
    say,
  };
  const signals = forwardSignals(setting.ignored);
  const contained = await containmentOf(options, setting, io);
  try {
    const startedMs = io.clock.now();
    const { child, problem } = start(options, setting, { contained, io });
    signals.to((signal) => child.kill(signal));
    const request = requestOf(options, setting, { contained, io, pid: child.pid, startedMs });
    remark(describe(request, contained));
    if (problem !== null) say(`${name} could not be started in its cgroup: ${problem}`);
    if ("refused" in workspace) remark(`no workspace: ${workspace.refused}`);
    return await attend(child, {
      contained,
      io,
      reporter: reporterOf(request, options, { setting, io }),
    });
  } catch (thrown) {
    say(`${name}: ${messageOf(thrown)}`);
    return CANNOT_START;
  } finally {
    await contained.release();
    signals.end();
  }
}

async function containmentOf(options: RunOptions, setting: Setting, io: CliIo): Promise<Contained> {
  const contained = await contain(
    {
      runId: setting.id,
      parentName: instanceName(setting.dataDir),
      memoryLimitBytes: options.memoryLimitBytes,
    },
    {
      uid: io.uid,
      systemdRun: Bun.which("systemd-run"),
      systemdDirectory: "/run/systemd/system",
    },
  );
  if (options.memoryLimitBytes !== null && contained.memoryLimitBytes === null) {
    setting.say(`NOTHING LIMITS THE MEMORY of ${options.command[0] ?? ""}: ${contained.reason}`);
  }
  return contained;
}

/** Tells the daemon while CMD runs, and how it ended. Resolves with its exit status. */
async function attend(
  child: Bun.Subprocess,
  { contained, io, reporter }: { contained: Contained; io: CliIo; reporter: Reporter },
): Promise<number> {
  const startedAt = io.clock.monotonic();
  reporter.start();
  const status = await child.exited;
  // A real-time signal has no name; its status says enough.
  const signal = typeof child.signalCode === "string" ? child.signalCode : null;
  const exit = {
    exitCode: signal === null ? status : null,
    signal,
    durationMs: Math.round(io.clock.monotonic() - startedAt),
  };
  await reporter.finish(exit, contained.oomKills());
  return status;
}

function start(
  options: RunOptions,
  setting: Setting,
  { contained, io }: { contained: Contained; io: CliIo },
): { child: Bun.Subprocess; problem: string | null } {
  const url = observerUrl(options.where, io);
  const variables = {
    OBSERVER_SESSION_ID: runSessionId(setting.id),
    OBSERVER_RUN_ID: setting.id,
    ...(url === null ? {} : { OBSERVER_URL: url }),
  };
  const { ignored } = setting;
  const command = [...contained.prefix, ...options.command];
  const env = ["/usr/bin/env", "/bin/env"].find((path) => existsSync(path)) ?? "env";
  return contained.start((cgroup) =>
    Bun.spawn(launchCommand({ command, variables, ignored, env }), {
      cwd: io.cwd,
      stdio: ["inherit", "inherit", "inherit"],
      ...(cgroup === undefined ? {} : { cgroup }),
    }),
  );
}

/** Where CMD's own tools reach the daemon; null where only a socket of a named data directory is known. */
function observerUrl({ url, data }: WhereFlags, { env }: CliIo): string | null {
  const named = url ?? env["OBSERVER_URL"];
  if (named) return named;
  return data === undefined ? `http://127.0.0.1:${env["OBSERVER_PORT"] || "3800"}` : null;
}

function requestOf(
  options: RunOptions,
  setting: Setting,
  started: { contained: Contained; io: CliIo; pid: number; startedMs: number },
): RunRequest {
  const { contained, io, pid, startedMs } = started;
  return {
    id: setting.id,
    name: options.name,
    pid,
    // Of the very process: env(1) and systemd-run are replaced by CMD and keep their start time.
    startTicks: readStat(pid)?.startTicks ?? 0,
    startedMs,
    command: options.command.slice(0, COMMAND_WORDS_MAX).map((word) => clip(word, WORD_LENGTH_MAX)),
    cwd: io.cwd,
    workspace: setting.workspace,
    containment: contained.kind,
    cgroups: contained.cgroups,
    memoryLimitBytes: contained.memoryLimitBytes,
  };
}

const HOLDS = {
  cgroup: "in a cgroup of its own",
  scope: "in a scope of systemd",
  group: "in its process group only",
} as const;

/** One line: how CMD is held, and what is watched. */
function describe(request: RunRequest, { reason }: Contained): string {
  const limit = request.memoryLimitBytes;
  const parts = [
    `${request.id} ${HOLDS[request.containment]}`,
    ...(reason === "" ? [] : [`(${reason})`]),
  ];
  const more = [
    ...(limit === null ? [] : [`memory limit ${formatSize(limit)}`]),
    ...(request.workspace === null ? [] : [`workspace ${request.workspace}`]),
  ];
  return [parts.join(" "), ...more].join(", ");
}

function reporterOf(
  request: RunRequest,
  options: RunOptions,
  { setting, io }: { setting: Setting; io: CliIo },
): Reporter {
  const [program = ""] = options.command;
  return createReporter(
    { request, agent: options.name ?? basename(program), uid: io.uid, bootId: bootId() },
    {
      connect: () => createClient(daemonRoutes(io, options.where), DAEMON_PATIENCE_MS),
      spool: createSpoolFile(setting.dataDir, request.id),
      say: setting.remark,
      pace: RUN_PACE,
    },
  );
}
