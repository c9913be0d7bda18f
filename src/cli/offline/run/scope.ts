// A scope of systemd as the cgroup of a run, where systemd runs and lets us.

import { existsSync } from "node:fs";

/** A bus that does not answer must not keep CMD waiting. */
const PROBE_PATIENCE_MS = 1_000;

/** What is looked at; tests give another one. */
export interface ScopeHost {
  uid: number;
  /** Path of systemd-run; null where it is not installed. */
  systemdRun: string | null;
  /** There when systemd is the init of this machine. */
  systemdDirectory: string;
}

export interface ScopeRequest {
  runId: string;
  memoryLimitBytes: number | null;
}

/** Words in front of CMD that run it in a scope, once a trial has shown that they work; else why not. */
export async function scopePrefix(
  request: ScopeRequest,
  host: ScopeHost,
): Promise<{ prefix: string[] } | { refused: string }> {
  if (!existsSync(host.systemdDirectory)) return { refused: "systemd is not running" };
  if (host.systemdRun === null) return { refused: "systemd-run is not installed" };
  let refused = "";
  // OOMPolicy of scopes came with systemd 253; without it the first kill ends the whole scope.
  for (const extra of [["OOMPolicy=continue"], []]) {
    const command = scopeCommand(request, { host, extra });
    const problem = await trial([...command, "true"]);
    if (problem === null) {
      return { prefix: [...command.slice(0, -1), `--unit=observer-run-${request.runId}`, "--"] };
    }
    refused = problem;
  }
  return { refused: `systemd-run: ${refused}` };
}

/** `systemd-run … --`. The scope's command is executed in place, so that its pid stays. */
export function scopeCommand(
  { memoryLimitBytes }: ScopeRequest,
  { host, extra }: { host: ScopeHost; extra: readonly string[] },
): string[] {
  const limit =
    memoryLimitBytes === null ? [] : [`MemoryMax=${memoryLimitBytes}`, "MemorySwapMax=0"];
  return [
    host.systemdRun ?? "systemd-run",
    "--scope",
    "--quiet",
    "--collect",
    ...(host.uid === 0 ? [] : ["--user"]),
    ...[...limit, ...extra].flatMap((property) => ["-p", property]),
    "--",
  ];
}

/** Null when it worked. */
async function trial(command: string[]): Promise<string | null> {
  try {
    const child = Bun.spawn(command, {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
      timeout: PROBE_PATIENCE_MS,
      killSignal: "SIGKILL",
    });
    const [status, said] = await Promise.all([child.exited, child.stderr.text()]);
    if (status === 0) return null;
    if (child.signalCode !== null) return `no answer within ${PROBE_PATIENCE_MS} ms`;
    return said.trim().split("\n")[0] ?? `exit status ${status}`;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}
