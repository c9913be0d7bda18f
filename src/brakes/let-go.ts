// Lets a stopped agent go on, and makes sure that it does. Used by observer and by the guardian alike.

import { writeFileSync } from "node:fs";
import { messageOf, ObserverError } from "../core/errors.ts";
import { codeOf } from "../kernel/kernel-file.ts";
import { thawedText, thawState } from "./freeze-file.ts";
import type { Target } from "./target.ts";
import { continueTree, standing } from "./tree.ts";

/** Pauses between two tries: at first a try is nearly always enough, later something is wrong. */
const RETRY_MS = [2, 5, 10, 20, 50, 100, 200];
/** A process that stands again after this long was stopped by somebody else, or by its terminal. */
const SIGNAL_PATIENCE_MS = 500;

/**
 * One try. Harmless when it runs already; nothing to do when it is gone. Throws `ObserverError` `not_permitted`, `failed`.
 */
export function letGo(target: Target): void {
  if (target.path === null || target.method === "SIGSTOP") {
    continueTree(target.processes);
    return;
  }
  try {
    writeFileSync(target.path, thawedText(target.method), { flag: "r+" });
  } catch (error) {
    // The cgroup was removed: nothing is in it any more.
    if (["ENOENT", "ENODEV"].includes(codeOf(error))) return;
    throw new ObserverError(
      ["EACCES", "EPERM", "EROFS"].includes(codeOf(error)) ? "not_permitted" : "failed",
      `Cannot let agent ${target.agent} go on: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** Read back from the kernel: null when it runs or is gone, else what still stands. */
export function stillStopped(target: Target): string | null {
  if (target.path === null) {
    const pids = standing(target.processes).map(({ pid }) => pid);
    return pids.length === 0 ? null : `processes ${pids.slice(0, 10).join(", ")} still stand`;
  }
  const state = thawState(target.path);
  if (state === "thawed") return null;
  return state === "ancestor" ? "a cgroup above is frozen by somebody else" : "still frozen";
}

export interface SurelyOptions {
  /** After this it is given up, which is told. */
  patienceMs: number;
  monotonic(): number;
  /** True when it may be stopped again meanwhile, so that there is nothing left to make sure of. */
  isOver?(): boolean;
}

/** Tries until it is proven to run. Null, or why it could not be proven. Never throws. */
export async function letGoSurely(target: Target, options: SurelyOptions): Promise<string | null> {
  const start = options.monotonic();
  for (let attempt = 0; ; attempt++) {
    let why: string | null;
    try {
      letGo(target);
      why = stillStopped(target);
    } catch (error) {
      why = messageOf(error);
    }
    if (why === null || options.isOver?.() === true) return null;
    const patience =
      target.path === null ? Math.min(options.patienceMs, SIGNAL_PATIENCE_MS) : options.patienceMs;
    if (options.monotonic() - start > patience) return why;
    await Bun.sleep(RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)] ?? 200);
  }
}
