// What is written to the kernel's two files that stop a whole cgroup, and how to read back that it goes on.

import { dirname, join } from "node:path";
import type { FreezeMethod } from "../core/agent.ts";
import { readKernelNumber, readKernelTable, readKernelText } from "../kernel/kernel-file.ts";

export type FileMethod = Exclude<FreezeMethod, "SIGSTOP">;

const WORDS: Record<FileMethod, { frozen: string; thawed: string }> = {
  // cgroup v2: processes that are forked later are stopped too; SIGKILL still works.
  "cgroup.freeze": { frozen: "1", thawed: "0" },
  // cgroup v1: the same, but a stopped process cannot even be killed before it is let go on.
  freezer: { frozen: "FROZEN", thawed: "THAWED" },
};

export const frozenText = (method: FileMethod): string => WORDS[method].frozen;
export const thawedText = (method: FileMethod): string => WORDS[method].thawed;

/** Whether it runs again, or is gone. `ancestor`: we let it go on, but somebody has stopped a cgroup above. */
export function thawState(path: string): "thawed" | "frozen" | "ancestor" {
  const directory = dirname(path);
  if (path.endsWith("/freezer.state")) {
    const state = readKernelText(path)?.trim();
    if (state === undefined || state === "THAWED") return "thawed";
    return readKernelNumber(join(directory, "freezer.self_freezing")) === 0 ? "ancestor" : "frozen";
  }
  const wanted = readKernelNumber(path);
  if (wanted === 1) return "frozen";
  const frozen = readKernelTable(join(directory, "cgroup.events"))?.get("frozen");
  return wanted === 0 && frozen === 1 ? "ancestor" : "thawed";
}
