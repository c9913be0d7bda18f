// `observer serve`: from flags to a running daemon, until it is told to stop.

import { loadConfig, type LoadedConfig } from "../../config/load.ts";
import { messageOf, ObserverError } from "../../core/errors.ts";
import { startObserver } from "../../observer.ts";
import { parseCommand } from "../flags.ts";
import type { CliIo } from "../io.ts";
import { settingProblems, UsageError, type UsageProblem } from "../usage.ts";
import type { FlagValues } from "../verb.ts";
import { serveVerb } from "../verbs.ts";
import { selfCommand } from "./self-command.ts";

/** What is under way may take this long after SIGTERM; systemd would wait 90 s. */
const STOP_GRACE_MS = 5_000;

/** Taken already, so that a start script need not change; said at every start. */
const LATER_FLAGS = ["scope", "fleet", "hub"];

type Surroundings = Pick<CliIo, "env" | "cwd" | "uid">;

/** Parsed flags and everything else that configures the daemon. @throws UsageError that names every problem. */
export function serveConfig(argv: string[], io: Surroundings): LoadedConfig {
  const { flags, problems } = parseCommand(argv, serveVerb);
  const loaded = load(flags, io);
  const all = [...problems, ...("problems" in loaded ? loaded.problems : [])];
  if ("problems" in loaded || all.length > 0) throw new UsageError(all);
  const early = LATER_FLAGS.filter((name) => flags.on(name));
  const warnings = early.map((name) => `--${name} has no effect in this version`);
  return { ...loaded, warnings: [...loaded.warnings, ...warnings] };
}

/** The configuration, or what is wrong with it; flags that could not be parsed are left out. */
function load(flags: FlagValues, io: Surroundings): LoadedConfig | { problems: UsageProblem[] } {
  const file = flags.text("config");
  const workspaces = flags.all("workspace");
  const on = (name: string): true | undefined => (flags.on(name) ? true : undefined);
  try {
    return loadConfig({
      flags: {
        port: flags.text("port"),
        host: flags.text("host"),
        data_dir: flags.text("data"),
        workspaces: workspaces.length > 0 ? workspaces : undefined,
        "reactive.enabled": on("reactive"),
        token_file: flags.text("token-file"),
        require_token: on("require-token"),
        insecure: on("insecure"),
        "log.level": flags.text("log-level"),
      },
      ...(file === undefined ? {} : { file }),
      environment: io.env,
      cwd: io.cwd,
      uid: io.uid,
    });
  } catch (thrown) {
    if (!(thrown instanceof ObserverError)) throw thrown;
    return { problems: settingProblems(thrown) ?? [{ field: "--config", rule: thrown.message }] };
  }
}

/** Runs until SIGTERM or SIGINT. Resolves with 0, or with 1 when it could not start. */
export async function serve(argv: string[], io: CliIo): Promise<number> {
  const config = serveConfig(argv, io);
  const running = await startObserver(config, {
    stderr: io.stderr,
    stderrIsTty: io.isTty,
    selfCommand: selfCommand(),
    uid: io.uid,
  }).catch((thrown: unknown) => {
    if (thrown instanceof ObserverError && thrown.code === "invalid") throw thrown;
    io.stderr(`observer: ${messageOf(thrown)}\n`);
    return null;
  });
  if (!running) return 1;
  io.stdout(`observer is watching: ${running.url}\n`);
  await stopSignal();
  await running.stop(STOP_GRACE_MS);
  return 0;
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process as it usually does. */
export function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
  });
}
