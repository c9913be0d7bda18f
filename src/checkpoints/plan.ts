// What a restore will do, decided before anything is touched.

import { compareTrees, type Comparison, type CompareOptions, type Difference } from "./diff.ts";
import { isWithin, parentOf, shown, type BytePath } from "./byte-path.ts";

export interface Plan {
  /** From the living tree (`before`) to the checkpoint (`after`), in tree order. */
  steps: Difference[];
  directories: Comparison["directories"];
  untouched: BytePath[];
  groups: Comparison["groups"];
  reaching: Comparison["reaching"];
  /** What cannot be done without touching what the checkpoint does not cover. */
  warnings: string[];
}

/** `before` is the living tree, `after` the checkpoint. Without root, ownership is left as it is. */
export function planRestore(options: CompareOptions & { asRoot: boolean }): Plan {
  const compared = compareTrees({ ...options, rootOnly: options.asRoot ? "counts" : "ignored" });
  const { differences, directories, untouched, groups, reaching } = compared;
  const holders = ancestorsOf(untouched);
  const warnings = compared.beyondUs.map(
    (path) => `${shown(path).path || "."}: some attributes can be restored by root only`,
  );
  const blocked: BytePath[] = [];
  const steps = differences.filter((step) => {
    if (!options.asRoot && step.what.length === 1 && step.what[0] === "owner") return false;
    if (blocked.some((path) => path !== step.path && isWithin(step.path, path))) return !step.after;
    if (step.before?.type !== "directory" || !holders.has(step.path)) return true;
    // Its other content goes; the directory stays, because it holds what is not ours to remove.
    if (!step.after) return false;
    if (step.after.type === "directory") return true;
    blocked.push(step.path);
    warnings.push(
      `${shown(step.path).path} stays a directory: it holds paths that the checkpoint does not cover`,
    );
    return false;
  });
  return { steps, directories, untouched, groups, reaching, warnings };
}

function ancestorsOf(paths: BytePath[]): Set<BytePath> {
  const all = new Set<BytePath>();
  for (const path of paths) {
    for (let at = parentOf(path); at !== "" && !all.has(at); at = parentOf(at)) all.add(at);
  }
  return all;
}
