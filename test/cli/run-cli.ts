// Runs the command line in a test: what it wrote, and its exit status.

import { runCli } from "../../src/cli/cli.ts";
import type { CliIo } from "../../src/cli/io.ts";
import type { CliLocal } from "../../src/cli/local.ts";

export interface Ran {
  status: number;
  out: string;
  err: string;
  asked: string[];
}

export interface RunOptions {
  env?: Record<string, string>;
  isTty?: boolean;
  outputIsTty?: boolean;
  colour?: boolean;
  columns?: number;
  nowMs?: number;
  cwd?: string;
  uid?: number;
  answer?: string;
  local?: Partial<CliLocal>;
}

const notGiven = (name: string) => (): never => {
  throw new Error(`${name} was not given to this test`);
};

export async function run(argv: string[], options: RunOptions = {}): Promise<Ran> {
  const ran: Ran = { status: -1, out: "", err: "", asked: [] };
  const nowMs = options.nowMs ?? 0;
  const io: CliIo = {
    stdout: (text) => (ran.out += text),
    stderr: (text) => (ran.err += text),
    stdin: () => Promise.resolve(""),
    ask: (question) => {
      ran.asked.push(question);
      return Promise.resolve(options.answer ?? "");
    },
    isTty: options.isTty ?? false,
    outputIsTty: options.outputIsTty ?? false,
    colour: options.colour ?? false,
    columns: options.columns ?? 80,
    env: options.env ?? {},
    cwd: options.cwd ?? "/",
    leaveDirectory: () => undefined,
    // Not root, so that no test meets the daemon of this machine.
    uid: options.uid ?? 12_345,
    clock: { now: () => nowMs, monotonic: () => nowMs },
  };
  const local: CliLocal = {
    serve: notGiven("serve"),
    replay: notGiven("replay"),
    importFile: notGiven("importFile"),
    demo: notGiven("demo"),
    run: notGiven("run"),
    inspectHost: notGiven("inspectHost"),
    tryCapabilities: notGiven("tryCapabilities"),
    showLive: notGiven("showLive"),
    exportCheckpoint: notGiven("exportCheckpoint"),
    configShow: notGiven("configShow"),
    configValidate: notGiven("configValidate"),
    configInit: notGiven("configInit"),
    ...options.local,
  };
  ran.status = await runCli(argv, io, local);
  return ran;
}
