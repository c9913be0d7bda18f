// Reads how a process ended out of an event and judges whether that was a crash.

import type { EventData } from "../core/event.ts";

/** Signals that end a process that did not choose to end */
const CRASH_SIGNALS = new Set(["KILL", "SEGV", "ABRT", "BUS", "ILL"]);
/** Signals by which people and service managers end a process. */
const ORDERLY_SIGNALS = new Set(["TERM", "INT", "HUP"]);
// The numbers are the same on every Linux architecture that Bun runs on.
const SIGNAL_NAMES: Record<number, string> = {
  1: "HUP",
  2: "INT",
  4: "ILL",
  6: "ABRT",
  7: "BUS",
  9: "KILL",
  11: "SEGV",
  15: "TERM",
};
// What a shell reports as the exit code of a child that died by signal n: 128 + n.
const SHELL_SIGNAL_BASE = 128;

export interface ExitFacts {
  exitCode: number | null;
  /** As reported; `SIGKILL` and the like where only a number or a shell's exit code told it. */
  signal: string | null;
  coreDumped: boolean;
  /** Upper case without `SIG`. */
  signalName: string | null;
}

function signalOf(
  reported: unknown,
  exitCode: number | null,
): Pick<ExitFacts, "signal" | "signalName"> {
  if (
    typeof reported === "string" &&
    Number.isNaN(Number.parseInt(reported, 10)) &&
    reported !== ""
  ) {
    return { signal: reported, signalName: reported.toUpperCase().replace(/^SIG/, "") };
  }
  let number = Number(reported ?? Number.NaN);
  // Some runtimes report a death by signal as a negative exit code.
  if (!(number > 0) && exitCode !== null)
    number = exitCode < 0 ? -exitCode : exitCode - SHELL_SIGNAL_BASE;
  const name = SIGNAL_NAMES[number];
  return name === undefined
    ? { signal: null, signalName: null }
    : { signal: `SIG${name}`, signalName: name };
}

/** Exit facts in the event's data; null when it carries none. */
export function exitFacts(data: EventData): ExitFacts | null {
  const exitCode = typeof data.exit_code === "number" ? data.exit_code : null;
  const signal = signalOf(data.signal, exitCode);
  const coreDumped = data.core_dumped === true;
  if (exitCode === null && signal.signal === null && !coreDumped) return null;
  return { exitCode, coreDumped, ...signal };
}

/** A core or a crash signal always is a crash, an orderly signal never; other failures are when work was lost. */
export function isCrash(exit: ExitFacts, inFlight: boolean): boolean {
  if (exit.coreDumped) return true;
  if (exit.signalName !== null) {
    if (CRASH_SIGNALS.has(exit.signalName)) return true;
    if (ORDERLY_SIGNALS.has(exit.signalName)) return false;
    return inFlight;
  }
  return exit.exitCode !== null && exit.exitCode !== 0 && inFlight;
}
