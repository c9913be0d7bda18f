// What observer costs while nothing happens on a host with many processes: bun scripts/bench/idle.ts [--processes 500] [--seconds 60]

import { readdirSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { startDaemon } from "../../test/support/daemon.ts";

const { values } = parseArgs({
  options: {
    processes: { type: "string", default: "500" },
    seconds: { type: "string", default: "60" },
  },
});
/** Until the first scan and the start's own work are over. */
const SETTLE_MS = 5_000;
/** Numbers are told this often, so that growth can be seen. */
const REPORTS = 6;

interface Cost {
  cpuMs: number;
  rssMb: number;
  privateMb: number;
}

/** Of the daemon and of all it started. */
function costOf(pid: number): Cost {
  const sum: Cost = { cpuMs: 0, rssMb: 0, privateMb: 0 };
  for (const each of [pid, ...childrenOf(pid)]) {
    const stat = readFileSync(`/proc/${each}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // utime and stime, in ticks of 10 ms.
    sum.cpuMs += (Number(fields[11]) + Number(fields[12])) * 10;
    const rollup = readFileSync(`/proc/${each}/smaps_rollup`, "utf8");
    sum.rssMb += kilobytes(rollup, "Rss") / 1_000;
    sum.privateMb += kilobytes(rollup, "Private_Dirty") / 1_000;
  }
  return sum;
}

function childrenOf(pid: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, "latin1");
        const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
        return parent === pid ? [Number(name)] : [];
      } catch {
        return []; // It ended meanwhile.
      }
    });
}

function kilobytes(rollup: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1] ?? 0);
}

const sleepers = Array.from({ length: Number(values.processes) }, () =>
  Bun.spawn(["sleep", "1000000"], { stdio: ["ignore", "ignore", "ignore"] }),
);
try {
  await using daemon = await startDaemon({ env: { OBSERVER_AGENTS_ENABLED: "true" } });
  await Bun.sleep(SETTLE_MS);
  const stepMs = (Number(values.seconds) * 1_000) / REPORTS;
  let before = costOf(daemon.pid);
  for (let report = 1; report <= REPORTS; report += 1) {
    await Bun.sleep(stepMs);
    const now = costOf(daemon.pid);
    const share = ((now.cpuMs - before.cpuMs) / stepMs) * 100;
    console.log(
      `${Math.round((report * stepMs) / 1_000)} s: ${share.toFixed(2)} % of one core, ${now.rssMb.toFixed(1)} MB resident, ${now.privateMb.toFixed(1)} MB written by it alone`,
    );
    before = now;
  }
} finally {
  for (const sleeper of sleepers) sleeper.kill("SIGKILL");
}
