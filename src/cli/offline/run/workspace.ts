// The workspace of a run: the directory that was named, else the working directory, unless it may not be one.

import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { resolveWorkspace } from "../../../checkpoints/workspace.ts";
import { messageOf, ObserverError } from "../../../core/errors.ts";

/** The directory with its symlinks resolved, or why it is none: the rules of checkpoints. */
export function runWorkspace(
  named: string | undefined,
  { cwd, dataDir }: { cwd: string; dataDir: string },
): { path: string } | { refused: string } {
  const path = resolve(cwd, named ?? ".");
  try {
    const rules = {
      allowAnyPath: [],
      directory: join(dataDir, "checkpoints"),
      home: homedir(),
    };
    return { path: resolveWorkspace(path, rules).path };
  } catch (thrown) {
    // Whatever it is, CMD is started without a workspace.
    const rule = thrown instanceof ObserverError ? thrown.detail["rule"] : undefined;
    return { refused: `${path}: ${typeof rule === "string" ? rule : messageOf(thrown)}` };
  }
}
