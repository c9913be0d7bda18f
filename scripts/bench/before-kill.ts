// Whether the workspace is saved, whole, before the kernel kills a hasty agent; with and without the freeze:
// bun scripts/bench/before-kill.ts [--runs 20] [--rates 200,2000] [--freeze on,off]   (root, cgroup v1 or v2 memory)

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { torn, writeFirst } from "../../test/support/consistent-cut.ts";
import { type Daemon, type Row, startDaemon, until } from "../../test/support/daemon.ts";

const FILES = 1_500;
/** 15 MB together. */
const BYTES = 10_240;
const LIMIT = "200M";
/** Until the baseline is there and the agent works. */
const WAIT_MS = 1_500;
const AGENT = join(import.meta.dir, "../../test/support/programs/hasty-agent.ts");

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "20" },
    rates: { type: "string", default: "200,2000" },
    freeze: { type: "string", default: "on,off" },
  },
});

interface Outcome {
  /** A verified checkpoint was complete before the kill. */
  before: boolean;
  /** And it is one instant of the workspace. */
  whole: boolean;
  frozenMs: number | null;
  problem: string;
}

async function once(daemon: Daemon, room: string, rate: string): Promise<Outcome> {
  const workspace = mkdtempSync(join(room, "workspace-"));
  const copy = mkdtempSync(join(room, "copy-"));
  try {
    writeFirst(workspace, FILES, BYTES);
    const agent = [process.execPath, AGENT, workspace, `${FILES}`, `${BYTES}`, rate, `${WAIT_MS}`];
    const ran = await daemon.cli(
      "run",
      "--memory-max",
      LIMIT,
      "--workspace",
      workspace,
      "--",
      ...agent,
    );
    if (ran.status !== 137) return failed(`the agent ended with ${ran.status}: ${ran.stderr}`);
    const killed = await until("oom_kill is reported", () =>
      newest(daemon, "interruptions", workspace, "oom_kill"),
    );
    const saved = await until("there is a checkpoint", () =>
      newest(daemon, "checkpoints", workspace),
    );
    const end = Date.parse(String(saved["created_at"])) + Number(saved["duration_ms"]);
    const before = saved["verified"] === true && end <= Date.parse(String(killed["time"]));
    const frozenMs = await frozenFor(daemon, workspace);
    const out = await daemon.cli(
      "checkpoint",
      "restore",
      String(saved["id"]),
      "--to",
      copy,
      "--yes",
    );
    if (out.status !== 0) return failed(`the checkpoint is not readable: ${out.stderr}`);
    const problem = torn(copy, FILES, BYTES);
    return { before, whole: problem === null, frozenMs, problem: problem ?? "" };
  } catch (thrown) {
    return failed(String(thrown));
  } finally {
    rmSync(workspace, { recursive: true, force: true });
    rmSync(copy, { recursive: true, force: true });
  }
}

function failed(problem: string): Outcome {
  return { before: false, whole: false, frozenMs: null, problem };
}

async function newest(
  daemon: Daemon,
  what: "interruptions" | "checkpoints",
  workspace: string,
  type?: string,
): Promise<Row | null> {
  const rows = await daemon.list(`/${what}?workspace=${encodeURIComponent(workspace)}`);
  const fits = rows.filter((row) =>
    type === undefined
      ? row["kind"] === "auto" && row["status"] !== "pending"
      : row["type"] === type,
  );
  return fits[0] ?? null;
}

async function frozenFor(daemon: Daemon, workspace: string): Promise<number | null> {
  const rows = await daemon.list(`/reactions?workspace=${encodeURIComponent(workspace)}`);
  const times = rows.map((row) => (row["detail"] as Row)["frozen_ms"]);
  return (times.find((time) => typeof time === "number") as number | undefined) ?? null;
}

const room = mkdtempSync(join(tmpdir(), "observer-bench-"));
for (const freeze of values.freeze.split(",")) {
  const data = join(room, `data-${freeze}`);
  mkdirSync(data);
  const env = { OBSERVER_MEMORY_FREEZE: String(freeze === "on") };
  await using daemon = await startDaemon({ data, env });
  for (const rate of values.rates.split(",")) {
    const outcomes: Outcome[] = [];
    for (let run = 0; run < Number(values.runs); run += 1) {
      const outcome = await once(daemon, room, rate);
      if (!outcome.before || !outcome.whole)
        console.log(`  run ${run}: ${outcome.problem || "too late"}`);
      outcomes.push(outcome);
    }
    const count = (of: (it: Outcome) => boolean): string =>
      `${outcomes.filter(of).length} of ${outcomes.length}`;
    const frozen = outcomes.flatMap(({ frozenMs }) => frozenMs ?? []).sort((a, b) => a - b);
    const middle = frozen[Math.floor(frozen.length / 2)];
    console.log(
      `freeze ${freeze}, ${rate} MB/s: saved before the kill ${count((it) => it.before)}, one instant ${count((it) => it.whole)}` +
        (middle === undefined
          ? ""
          : `, stopped for ${middle} ms at the median, ${frozen.at(-1)} at most`),
    );
  }
}
rmSync(room, { recursive: true, force: true });
