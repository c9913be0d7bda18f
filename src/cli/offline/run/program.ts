// Finds the program that a command names, and says what a shell would say when it cannot be started.

import { accessSync, constants, existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";

/** A shell's exit statuses for a command that it cannot start. */
const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;

export type Program = { path: string } | { status: 126 | 127; reason: string };

/** Looks for `name` as execvp(3) does. */
export function findProgram(
  name: string,
  { cwd, path }: { cwd: string; path: string | undefined },
): Program {
  if (name.includes("/")) {
    const state = stateOf(resolve(cwd, name));
    if (state === "good") return { path: resolve(cwd, name) };
    return state === "absent"
      ? { status: NOT_FOUND, reason: "no such file" }
      : { status: NOT_EXECUTABLE, reason: state };
  }
  let refused: string | null = null;
  // An empty part means the working directory, as everywhere.
  for (const directory of (path ?? "/usr/local/bin:/usr/bin:/bin").split(":")) {
    const candidate = join(resolve(cwd, directory), name);
    // A directory that may not be searched holds nothing for this user.
    const state = name !== "" && existsSync(candidate) ? stateOf(candidate) : "absent";
    if (state === "good") return { path: candidate };
    if (state !== "absent") refused ??= state;
  }
  return refused === null
    ? { status: NOT_FOUND, reason: "command not found" }
    : { status: NOT_EXECUTABLE, reason: refused };
}

/** `good`, `absent`, or why it cannot be started. */
function stateOf(path: string): string {
  try {
    if (statSync(path).isDirectory()) return "is a directory";
    accessSync(path, constants.X_OK);
    return "good";
  } catch (thrown) {
    const code = (thrown as { code?: unknown }).code;
    return code === "EACCES" || code === "EPERM" ? "permission denied" : "absent";
  }
}
