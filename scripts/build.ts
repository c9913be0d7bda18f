// Builds the one file: dist/observer, compiled with bytecode, version and commit built in.

import { mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import packageJson from "../package.json" with { type: "json" };
import { BUILD, COMPILE } from "./build-options.ts";

const OUT = "dist/observer";

function git(...args: string[]): string | null {
  const run = Bun.spawnSync(["git", ...args], { stderr: "ignore" });
  return run.success ? run.stdout.toString().trim() : null;
}

function commit(): string {
  const head = git("rev-parse", "--short=12", "HEAD");
  if (head === null) return "unknown";
  return git("status", "--porcelain") === "" ? head : `${head}+dirty`;
}

const started = performance.now();
// A folder of its own, because the name of the file is built into it.
const staging = "dist/.staging/observer";
mkdirSync("dist/.staging", { recursive: true });
const result = await Bun.build({
  ...BUILD,
  // The second is the waiting thread's file; kernel/watcher.ts knows the name that it gets inside.
  entrypoints: ["src/main.ts", "src/kernel/watch.worker.ts"],
  define: {
    OBSERVER_VERSION: JSON.stringify(packageJson.version),
    OBSERVER_COMMIT: JSON.stringify(commit()),
    "process.env.NODE_ENV": JSON.stringify("production"),
  },
  compile: { ...COMPILE, outfile: staging },
});
for (const message of result.logs) console.error(message);
if (!result.success) process.exit(1);
// Renamed when complete, so that a running observer is never half overwritten.
renameSync(staging, OUT);
rmSync("dist/.staging", { recursive: true });
const megabytes = (statSync(OUT).size / 1e6).toFixed(1);
console.error(`built ${OUT}: ${megabytes} MB in ${Math.round(performance.now() - started)} ms`);
