// How long a hook waits while 8 connections send batches as fast as they are taken: bun scripts/bench/hooks.ts

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PORT = "39801";
const HOOK = `http://127.0.0.1:${PORT}/hooks/claude-code`;
const FOR_MS = 5_000;
/** An agent's next hook comes later than this. */
const PAUSE_MS = 5;

const directory = mkdtempSync(join(tmpdir(), "observer-bench-"));
const observer = Bun.spawn(
  ["dist/observer", "serve", "--port", PORT, "--data", directory, "--log-level", "error"],
  { stdout: "pipe", stderr: "inherit" },
);
// The first line says that it listens.
await observer.stdout.getReader().read();
const flags = ["--port", PORT, "--path", "/events", "--connections", "8", "--requests", "700"];
const load = Bun.spawn(["bun", "scripts/bench/load.ts", ...flags, "--batch", "1000"], {
  stdout: "pipe",
});

const waits: number[] = [];
const end = performance.now() + FOR_MS;
while (performance.now() < end) {
  const body = JSON.stringify({
    session_id: "bench",
    hook_event_name: "PreToolUse",
    tool_name: "Bash",
    tool_use_id: `t${waits.length}`,
    tool_input: { command: "ls" },
  });
  const sent = performance.now();
  const answer = await fetch(HOOK, { method: "POST", body });
  if (!answer.ok || (await answer.text()) !== "{}") throw new Error(`hook: ${answer.status}`);
  waits.push(performance.now() - sent);
  await Bun.sleep(PAUSE_MS);
}
const { good, requests } = (await new Response(load.stdout).json()) as Record<string, number>;
if (good !== requests) throw new Error(`load: ${good} of ${requests} good`);
observer.kill();
await observer.exited;
rmSync(directory, { recursive: true });

waits.sort((a, b) => a - b);
const at = (share: number): string => (waits[Math.floor(waits.length * share)] ?? 0).toFixed(1);
console.log(
  `${waits.length} hooks beside batches: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${(waits.at(-1) ?? 0).toFixed(1)} ms`,
);
