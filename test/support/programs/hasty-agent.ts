// An agent that rewrites its workspace without pause while its memory runs full: hasty-agent.ts DIR FILES BYTES RATE_MB WAIT_MS.

import { join } from "node:path";

const [directory = "", files = "", bytes = "", rate = "", waitMs = ""] = process.argv.slice(2);
// Far beyond any limit that a test sets: it ends by being killed.
const TOTAL_MB = "100000";

const program = (name: string, ...args: string[]): string[] => [
  process.execPath,
  join(import.meta.dir, name),
  ...args,
];
Bun.spawn(program("rewriter.ts", directory, files, bytes), {
  stdio: ["ignore", "ignore", "ignore"],
});
await Bun.sleep(Number(waitMs));
process.argv = [...process.argv.slice(0, 2), rate, TOTAL_MB];
await import("./hog.ts");
