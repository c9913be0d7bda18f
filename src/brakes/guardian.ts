// The guardian: a small process of its own that lets stopped agents go on when observer cannot any more.

import { writeFileSync, writeSync } from "node:fs";
import { systemClock } from "../core/clock.ts";
import { bootId } from "../kernel/boot.ts";
import { leaseEndIn, readFreezeList } from "./freeze-list.ts";
import { leaveCgroups } from "./guardian-cgroup.ts";
import { createLineCutter, parseCommand, type Report, reportLine } from "./guardian-protocol.ts";
import { letGoSurely } from "./let-go.ts";
import { createWard, type Ward } from "./ward.ts";

/** Whoever ends observer's session or service must not end what watches over its stops. KILL and STOP cannot be ignored. */
const IGNORED = [
  "SIGTERM",
  "SIGINT",
  "SIGHUP",
  "SIGQUIT",
  "SIGUSR1",
  "SIGUSR2",
  "SIGPIPE",
] as const;
/** Among the last to be ended when memory is short; -1000 would forbid it altogether. */
const OOM_SCORE = "-900";

/**
 * `argv`: the name of observer's cgroups, the path of its freeze list. Reads commands from standard input until that
 * is closed, which it is at once when observer dies; lets everything go on that stands for a checkpoint; stays for
 * leases until the last is over. Resolves to the exit status.
 */
export async function runGuardian(argv: readonly string[]): Promise<number> {
  const [name, listPath] = argv;
  if (name === undefined || listPath === undefined) return 2;
  for (const signal of IGNORED) process.on(signal, () => undefined);
  try {
    writeFileSync("/proc/self/oom_score_adj", OOM_SCORE);
  } catch {
    // Needs CAP_SYS_RESOURCE; without it the guardian is as likely a victim as any small process.
  }
  const left = leaveCgroups(name);
  const ward = createWard({
    clock: systemClock,
    report,
    letGoSurely,
    leaseEnd: (agent) => leaseEndIn(readFreezeList(listPath), { agent, bootId: bootId() }),
  });
  report({ kind: "ready", moved: left.moved, stuck: left.stuck });
  await readCommands(ward);
  await ward.orphaned();
  left.undo();
  return 0;
}

/** Until the end of standard input. An error of it is an end too: letting go too early is harmless, too late is not. */
async function readCommands(ward: Ward): Promise<void> {
  const take = createLineCutter((line) => {
    const command = parseCommand(line);
    if (command) ward.take(command);
  });
  try {
    for await (const chunk of Bun.stdin.stream()) take(chunk);
  } catch {
    // As an end.
  }
}

/** Observer may be gone, or not reading: then nobody needs to know. */
function report(message: Report): void {
  try {
    writeSync(1, reportLine(message));
  } catch {
    // EPIPE.
  }
}
