// Runs the bundler while this program itself is being bundled, and puts the page into it as a constant.

import { join } from "node:path";
import type { BundledFile } from "./bundle.ts";

/**
 * A macro: called by Bun's transpiler, so in the compiled program nothing of this is left but the answer.
 * A process of its own, because Bun cannot bundle from within a macro.
 */
export function bundledPage(): BundledFile[] {
  const run = Bun.spawnSync([process.execPath, join(import.meta.dir, "bundle.ts")]);
  if (!run.success) throw new Error(`Cannot bundle the dashboard: ${run.stderr.toString()}`);
  return JSON.parse(run.stdout.toString()) as BundledFile[];
}
