// The cgroup that was made for one agent alone, which may be stopped and killed as a whole. Nothing else may.

import type { Agent } from "../core/agent.ts";

/** Directories of the run itself, in each hierarchy that it has one in; empty when the agent has none. */
export function ownDirectories({ ownCgroup, runId, cgroups }: Agent): {
  unified: string | null;
  freezer: string | null;
  all: string[];
} {
  const none = { unified: null, freezer: null, all: [] };
  if (!ownCgroup || runId === null || runId === "") return none;
  const unified = upToRun(cgroups.unified, runId);
  const freezer = upToRun(cgroups.freezer, runId);
  const memory = upToRun(cgroups.memory, runId);
  const all = [unified, freezer, memory].filter((directory) => directory !== null);
  return { unified, freezer, all: [...new Set(all)] };
}

/**
 * `directory` up to the part that is named after the run. The agent may have made cgroups below and entered one; and
 * in a hierarchy where none could be made for it, it is in somebody else's, which must be left alone: so the name decides.
 */
export function upToRun(directory: string | null, runId: string): string | null {
  const parts = directory?.split("/") ?? [];
  const at = parts.findLastIndex((part) => part === `run-${runId}` || isScope(part, runId));
  return at < 1 ? null : parts.slice(0, at + 1).join("/");
}

// systemd's unit for a run: `observer-1a2b3c4d-run-ID.scope`.
function isScope(part: string, runId: string): boolean {
  return part === `run-${runId}.scope` || part.endsWith(`-run-${runId}.scope`);
}
