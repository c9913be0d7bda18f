// Checks what `observer run` claims: its form, its workspace, its cgroup.

import { realpath, stat } from "node:fs/promises";
import type { CgroupDirectories, ProcessId } from "../../core/agent.ts";
import { isWithin } from "../../kernel/cgroup.ts";
import { ObserverError } from "../../core/errors.ts";
import { ID_PATTERN } from "../../core/ids.ts";
import { invocationsOf } from "./command.ts";
import type { ExitStatus } from "./events.ts";
import { ownDirectories } from "./record.ts";

/** What a run is called and where it works, as its starter says. */
export interface RunClaim {
  runId: string;
  /** `--name`; null: the kind that the rules say, else the program's name. */
  name: string | null;
  /** Absolute path; null for none. */
  workspace: string | null;
}

/** As kinds of the user's rules, and spaces. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$/;
/** A file system that does not answer must not hold up the start of a program. */
const WORKSPACE_PATIENCE_MS = 1_000;

/** Throws `ObserverError` `invalid` that names everything that is wrong. */
export function checkClaim({
  pid,
  startTicks,
  runId,
  name,
  workspace,
}: ProcessId & RunClaim): void {
  const wrong = [
    Number.isSafeInteger(pid) && pid > 1 ? null : "pid must be a process",
    Number.isSafeInteger(startTicks) && startTicks >= 0 ? null : "startTicks must be clock ticks",
    ID_PATTERN.test(runId) ? null : "runId must be lower-case letters, digits and dashes",
    name === null || NAME.test(name) ? null : "name must be letters, digits, spaces, dots, dashes",
    workspace === null || workspace.startsWith("/") ? null : "workspace must be an absolute path",
  ].filter((problem) => problem !== null);
  if (wrong.length > 0) throw new ObserverError("invalid", wrong.join("; "));
}

/** Throws `ObserverError` `invalid`. */
export function checkStatus({ exitCode, signal }: ExitStatus): void {
  const isCode = exitCode !== null && Number.isInteger(exitCode) && exitCode >= 0 && exitCode < 256;
  const isStatus = signal === null ? isCode : /^SIG[A-Z0-9+]{1,12}$/.test(signal);
  if (!isStatus) throw new ObserverError("invalid", "An exit needs a code or the name of a signal");
}

export interface ConfirmedWorkspace {
  /** Real path; null when there is none. */
  path: string | null;
  /** Why not; null when it was taken, or when none was named. */
  refused: string | null;
}

/** A directory that belongs to the caller; root and observer's own user (`isOurs`) may name any. */
export async function confirmWorkspace(
  workspace: string | null,
  { callerUid, isOurs }: { callerUid: number; isOurs: boolean },
): Promise<ConfirmedWorkspace> {
  if (workspace === null) return { path: null, refused: null };
  const answer = await Promise.race([
    lookAtDirectory(workspace),
    Bun.sleep(WORKSPACE_PATIENCE_MS).then(() => "it does not answer"),
  ]);
  if (typeof answer === "string") return { path: null, refused: answer };
  if (isOurs || answer.uid === callerUid) return { path: answer.path, refused: null };
  return { path: null, refused: "it does not belong to the user who works there" };
}

/** Why it cannot be a workspace, or what it is. */
async function lookAtDirectory(path: string): Promise<string | { path: string; uid: number }> {
  try {
    const real = await realpath(path);
    const found = await stat(real);
    return found.isDirectory() ? { path: real, uid: found.uid } : "it is no directory";
  } catch {
    return "it does not exist, or cannot be looked at";
  }
}

/** The claimed cgroups as the run's own, or why they are not. */
export function confirmCgroups(
  { claimed, actual }: { claimed: CgroupDirectories; actual: CgroupDirectories },
  run: { runId: string; parentName: string },
): { own: CgroupDirectories } | { refused: string } {
  const names = ["unified", "memory", "freezer"] as const;
  const isIn = (claim: string | null, directory: string | null): boolean =>
    claim === null || (directory !== null && isWithin(directory, claim));
  const moved = names.find((name) => !isIn(claimed[name], actual[name]));
  if (moved) return { refused: `the process is not in the ${moved} cgroup that was named` };
  const own = ownDirectories(actual, run);
  return own ? { own } : { refused: "the cgroup is not one that observer makes for a run" };
}

/** What a program that no rule knows is called. */
export function kindOfProgram(command: readonly string[]): string {
  const name = invocationsOf(command).at(-1)?.name ?? "";
  return name.replace(/[^A-Za-z0-9._-]/g, "").slice(0, 64) || "run";
}
