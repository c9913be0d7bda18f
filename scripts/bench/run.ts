// Measures observer beside a server of the plain design, in one run on one machine, and prints a Markdown table.
// A slice whose answers were not all 2xx, or whose stored count is not the acknowledged one, is no figure: it throws.

import { Database } from "bun:sqlite";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const OBSERVER = "dist/observer";
const PORT = 39_800;
const ROUNDS = Number(process.env["BENCH_ROUNDS"] ?? 5);

interface Slice {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  events: number;
  good: number;
  requests: number;
  peakMb: number;
}

interface Subject {
  name: string;
  command(directory: string): string[];
  stored(directory: string): number;
}

const work = mkdtempSync(join(tmpdir(), "observer-bench-"));
const seedBinary = join(work, "seed-server");
Bun.spawnSync([
  "bun",
  "build",
  "--compile",
  "--bytecode",
  "--format=esm",
  "scripts/bench/seed-server.ts",
  "--outfile",
  seedBinary,
]);

const SUBJECTS: Subject[] = [
  {
    name: "observer",
    command: (directory) => [
      OBSERVER,
      "serve",
      "--port",
      String(PORT),
      "--data",
      directory,
      "--log-level",
      "error",
    ],
    stored(directory) {
      const database = new Database(join(directory, "observer.db"), { readonly: true });
      const row = database.query<{ n: number }, []>("SELECT count(*) AS n FROM events").get();
      database.close();
      return row?.n ?? 0;
    },
  },
  {
    name: "plain design",
    command: (directory) => [seedBinary, String(PORT), directory],
    stored: (directory) =>
      readFileSync(join(directory, "ops.jsonl"), "utf8").split("\n").length - 1,
  },
];

const SCENARIOS = [
  { name: "one event a request, 1 connection", connections: 1, requests: 10_000, batch: 0 },
  { name: "one event a request, 32 connections", connections: 32, requests: 120_000, batch: 0 },
  { name: "one event a request, 128 connections", connections: 128, requests: 150_000, batch: 0 },
  {
    name: "NDJSON, 1,000 events a request, 8 connections",
    connections: 8,
    requests: 400,
    batch: 1_000,
  },
];

function procStatus(pid: number, field: string): number {
  const line = readFileSync(`/proc/${pid}/status`, "utf8").match(
    new RegExp(`^${field}:\\s+(\\d+)`, "m"),
  );
  return Number(line?.[1] ?? 0) / 1024;
}

/** Starts a subject in a new directory and waits for its first answer. */
async function start(
  subject: Subject,
): Promise<{ child: Bun.Subprocess; directory: string; startMs: number }> {
  const directory = mkdtempSync(join(work, "data-"));
  const began = performance.now();
  const child = Bun.spawn(subject.command(directory), { stdout: "ignore", stderr: "inherit" });
  for (;;) {
    try {
      if ((await fetch(`http://127.0.0.1:${PORT}/health`)).ok) break;
    } catch {
      await Bun.sleep(1);
    }
    if (performance.now() - began > 10_000) throw new Error(`${subject.name} does not start`);
  }
  return { child, directory, startMs: performance.now() - began };
}

async function stop(child: Bun.Subprocess): Promise<void> {
  child.kill("SIGTERM");
  await child.exited;
}

async function load(
  scenario: (typeof SCENARIOS)[number],
  path: string,
  requests: number,
): Promise<Slice> {
  const { connections, batch } = scenario;
  const args = { port: PORT, path, connections, requests, batch };
  const flags = Object.entries(args).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = Bun.spawn(["bun", "scripts/bench/load.ts", ...flags], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const text = await new Response(child.stdout).text();
  return JSON.parse(text) as Slice;
}

async function measure(subject: Subject, scenario: (typeof SCENARIOS)[number]): Promise<Slice> {
  const path = scenario.batch > 0 ? "/events" : "/event";
  const { child, directory } = await start(subject);
  const warm = await load(scenario, path, Math.ceil(scenario.requests / 10));
  const slice = await load(scenario, path, scenario.requests);
  slice.peakMb = procStatus(child.pid, "VmHWM");
  // The plain design writes after it answered.
  await Bun.sleep(500);
  await stop(child);
  const stored = subject.stored(directory);
  const acknowledged = warm.events + slice.events;
  rmSync(directory, { recursive: true });
  if (slice.good !== slice.requests || stored !== acknowledged) {
    throw new Error(
      `${subject.name}, ${scenario.name}: ${slice.good} of ${slice.requests} good, ${stored} stored of ${acknowledged}`,
    );
  }
  return slice;
}

const median = (values: number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
const whole = (value: number): string => Math.round(value).toLocaleString("en-US");

async function throughput(): Promise<void> {
  console.log(
    "| load | observer, events/s (p50, p99 ms) | plain design, events/s (p50, p99 ms) | ratio | peak memory, MB |",
  );
  console.log("|---|---|---|---|---|");
  for (const scenario of SCENARIOS) {
    const slices = new Map<string, Slice[]>();
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const subject of SUBJECTS) {
        if (scenario.batch > 0 && subject.name !== "observer") continue;
        const list = slices.get(subject.name) ?? [];
        list.push(await measure(subject, scenario));
        slices.set(subject.name, list);
      }
    }
    const cell = (name: string): string => {
      const list = slices.get(name);
      if (!list) return "has no batches";
      const of = (pick: (slice: Slice) => number): number => median(list.map(pick));
      return `${whole(of(({ perSecond }) => perSecond))} (${of(({ p50Ms }) => p50Ms).toFixed(2)}, ${of(({ p99Ms }) => p99Ms).toFixed(2)})`;
    };
    const rate = (name: string): number =>
      median(slices.get(name)?.map(({ perSecond }) => perSecond) ?? []);
    const memory = (name: string): string =>
      whole(median(slices.get(name)?.map(({ peakMb }) => peakMb) ?? []));
    const plain = slices.has("plain design");
    const ratio = plain ? (rate("observer") / rate("plain design")).toFixed(2) : "";
    console.log(
      `| ${scenario.name} | ${cell("observer")} | ${cell("plain design")} | ${ratio} | ${memory("observer")}${plain ? ` : ${memory("plain design")}` : ""} |`,
    );
  }
}

async function footprint(): Promise<void> {
  console.log("\n| | observer | plain design |");
  console.log("|---|---|---|");
  const rows: Record<string, string[]> = {
    "start to first answer, ms": [],
    "resident memory idle, MB": [],
  };
  for (const subject of SUBJECTS) {
    const starts: number[] = [];
    const idle: number[] = [];
    for (let round = 0; round < 2 * ROUNDS; round += 1) {
      const { child, directory, startMs } = await start(subject);
      starts.push(startMs);
      await Bun.sleep(1_000);
      idle.push(procStatus(child.pid, "VmRSS"));
      await stop(child);
      if (existsSync(directory)) rmSync(directory, { recursive: true });
    }
    rows["start to first answer, ms"]?.push(median(starts).toFixed(0));
    rows["resident memory idle, MB"]?.push(whole(median(idle)));
  }
  for (const [name, cells] of Object.entries(rows))
    console.log(`| ${name} | ${cells.join(" | ")} |`);
  console.log(
    `| size of the file, MB | ${whole(statSync(OBSERVER).size / 1e6)} | ${whole(statSync(seedBinary).size / 1e6)} |`,
  );
}

try {
  await throughput();
  await footprint();
} finally {
  rmSync(work, { recursive: true, force: true });
}
