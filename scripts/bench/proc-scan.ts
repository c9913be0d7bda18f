// What a look at all processes costs with many of them: bun scripts/bench/proc-scan.ts [--processes 500]

import { parseArgs } from "node:util";
import { readLinks } from "../../src/kernel/process-tree.ts";
import { listPids, readCommandLine } from "../../src/kernel/procfs.ts";
import { createScanner } from "../../src/kernel/scan.ts";

const { values } = parseArgs({ options: { processes: { type: "string", default: "500" } } });
const ROUNDS = 50;
/** They end by themselves when the bench is killed. */
const LIFE_S = 120;

// One shell starts them all, in a process group of its own.
const shell = Bun.spawn(
  [
    "sh",
    "-c",
    `i=0; while [ $i -lt ${Number(values.processes)} ]; do sleep ${LIFE_S} & i=$((i + 1)); done; echo started; wait`,
  ],
  { detached: true, stdout: "pipe" },
);

/** Milliseconds of each round. */
function timed(work: () => void): number[] {
  return Array.from({ length: ROUNDS }, () => {
    const from = performance.now();
    work();
    return performance.now() - from;
  }).sort((one, other) => one - other);
}

function report(name: string, times: number[]): void {
  const at = (share: number): string =>
    (times[Math.floor(share * (times.length - 1))] ?? 0).toFixed(2);
  console.log(`| ${name} | ${at(0.5)} | ${at(0.95)} | ${at(1)} |`);
}

try {
  await shell.stdout.getReader().read();
  const scanner = createScanner();
  console.log(`${listPids().length} processes, ${ROUNDS} rounds\n`);
  console.log("| look, ms | median | p95 | max |\n|---|---|---|---|");
  report("list of pids", timed(listPids));
  report(
    "first scan",
    timed(() => createScanner().scan("full")),
  );
  scanner.scan("full");
  scanner.scan("incremental");
  report(
    "full scan",
    timed(() => scanner.scan("full")),
  );
  report(
    "incremental scan",
    timed(() => scanner.scan("incremental")),
  );
  report("parents of all", timed(readLinks));
  report(
    "command lines of all",
    timed(() => {
      for (const pid of listPids()) readCommandLine(pid);
    }),
  );
} finally {
  process.kill(-shell.pid, "SIGKILL");
  await shell.exited;
}
