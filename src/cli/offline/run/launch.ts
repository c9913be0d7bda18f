// The command line that becomes CMD: sets its variables and ignored signals, and is replaced by it.

import { constants } from "node:os";

export interface Launch {
  command: readonly string[];
  /** Variables that are added to the environment. */
  variables: Readonly<Record<string, string>>;
  /** Numbers of the signals that stay ignored, as under nohup(1). */
  ignored: readonly number[];
  /** Path of env(1). */
  env: string;
}

/** Would make a compiled bun another program, or load code into one. */
const REMOVED = ["BUN_OPTIONS", "BUN_BE_BUN"];

/**
 * `env … CMD`: env(1) hands the other variables on byte by byte, which no JavaScript string does. A shell stands
 * between only where something needs one.
 */
export function launchCommand({ command, variables, ignored, env }: Launch): string[] {
  const set = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  const start = [env, ...REMOVED.flatMap((name) => ["-u", name]), ...set];
  const [program = ""] = command;
  // env(1) would take such a name for a variable.
  const needsShell = ignored.length > 0 || program.includes("=");
  if (!needsShell) return [...start, ...command];
  const trap = ignored.length > 0 ? `trap '' ${ignored.join(" ")}; ` : "";
  return [...start, "/bin/sh", "-c", `${trap}exec "$@"`, "sh", ...command];
}

const UNIGNORABLE: readonly number[] = [constants.signals.SIGKILL, constants.signals.SIGSTOP];
/** Bun ignores these for itself, so that nothing can be told from them. */
const BUNS_OWN: readonly number[] = [constants.signals.SIGPIPE, constants.signals.SIGXFSZ];
/** Real-time signals follow; nobody ignores them for others. */
const STANDARD_SIGNALS = 31;

/** Numbers of the signals that this process was started to ignore, from the text of /proc/self/status. */
export function ignoredSignals(status: string): number[] {
  const mask = BigInt(`0x${/^SigIgn:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return Array.from({ length: STANDARD_SIGNALS }, (_, index) => index + 1).filter(
    (number) =>
      ((mask >> BigInt(number - 1)) & 1n) === 1n &&
      !UNIGNORABLE.includes(number) &&
      !BUNS_OWN.includes(number),
  );
}
