// Where a verb reads and writes: passed in, so that every verb runs in a test as it does in a terminal.

import { isatty } from "node:tty";
import type { Clock } from "../core/clock.ts";

export interface CliIo {
  /** Data: what a script reads. */
  stdout(text: string): void;
  /** Talk: progress, hints, problems. */
  stderr(text: string): void;
  /** All of standard input. */
  stdin(): Promise<string>;
  /** One line of answer to a question that is printed on standard error. */
  ask(question: string): Promise<string>;
  /** True when a person can be asked: standard input and standard error are terminals. */
  isTty: boolean;
  /** True when standard output is a terminal, so that a screen can be kept up to date there. */
  outputIsTty: boolean;
  /** True when standard output may carry colour. */
  colour: boolean;
  /** Width that tables are fitted to, in terminal cells. */
  columns: number;
  env: Record<string, string | undefined>;
  cwd: string;
  /** Makes the root this process's working directory; `cwd` stays what it was, for relative paths. */
  leaveDirectory(): void;
  uid: number;
  clock: Clock;
}

/** Width where none is known: a pipe or a file. Wide enough not to cut what people grep for. */
const COLUMNS_DEFAULT = 120;
/** Narrower than this, a table is no table; the terminal wraps it. */
const COLUMNS_MIN = 40;

function columnsOf(env: CliIo["env"]): number {
  const claimed = process.stdout.columns || Number(env["COLUMNS"]);
  return Number.isInteger(claimed) && claimed > 0
    ? Math.max(COLUMNS_MIN, claimed)
    : COLUMNS_DEFAULT;
}

async function readLine(): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of Bun.stdin.stream() as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes("\n")) break;
  }
  return text.split("\n", 1)[0] ?? "";
}

/** The process's own streams. `env` comes from the configuration, the only reader of the environment. */
export function createIo(env: CliIo["env"], clock: Clock): CliIo & { flush(): Promise<void> } {
  // A reader that closes early (`observer events | head`) is no failure.
  process.stdout.on("error", () => undefined);
  return {
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    stdin: () => Bun.stdin.text(),
    ask: (question) => {
      process.stderr.write(question);
      return readLine();
    },
    isTty: isatty(0) && isatty(2),
    outputIsTty: isatty(1),
    colour: isatty(1) && !env["NO_COLOR"] && env["TERM"] !== "dumb",
    columns: columnsOf(env),
    env,
    cwd: process.cwd(),
    leaveDirectory: () => process.chdir("/"),
    uid: process.getuid?.() ?? 0,
    clock,
    flush: () => new Promise((done) => process.stdout.write("", () => done())),
  };
}
