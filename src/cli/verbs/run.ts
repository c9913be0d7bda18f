// `observer run`: starts a command as an observed agent; everything else is done beside it.

import { parseSize } from "../../core/units.ts";
import { CLIENT_FLAGS } from "../flags.ts";
import type { Flag, Verb } from "../verb.ts";

/** Less does not hold the program that sets the limit. */
const MEMORY_MIN_BYTES = 4 * 1024 * 1024;

/** Breakers of a later version: taken, so that a script need not change, and said to do nothing. */
const LATER: readonly Flag[] = [
  { name: "max-retries", value: "N", help: "Not in this version." },
  { name: "max-cost", value: "USD", help: "Not in this version." },
  { name: "max-duration", value: "TIME", help: "Not in this version." },
  { name: "max-loops", value: "N", help: "Not in this version." },
  { name: "scope", value: "FILE", help: "Not in this version." },
  { name: "alert", value: "WAYS", help: "Not in this version." },
  { name: "on-violation", value: "ACTION", help: "Not in this version." },
  { name: "webhook", value: "URL", help: "Not in this version." },
  { name: "dry-run", help: "Not in this version." },
];

export const runVerb: Verb = {
  name: "run",
  group: "Run",
  summary: "start an agent in a cgroup of its own and watch it",
  about:
    "CMD is always started, without a daemon too. Its input, output, terminal, signals and exit status are its own.",
  args: [{ name: "CMD", required: true, many: true, verbatim: true }],
  flags: [
    { name: "name", value: "NAME", help: "Kind of agent it is listed as.", check: checkName },
    {
      name: "memory-max",
      value: "SIZE",
      help: "Memory and swap it may use, e.g. 4G.",
      check: checkMemory,
    },
    { name: "workspace", value: "DIR", help: "Its workspace (default: the working directory)." },
    { name: "quiet", help: "Say only what went wrong." },
    ...LATER,
    ...CLIENT_FLAGS,
  ],
  examples: [
    "observer run -- claude",
    "observer run --name nightly --memory-max 4G -- claude -p 'fix the tests'",
  ],
  run(call) {
    const { flags, io } = call;
    const memory = flags.text("memory-max");
    const early = LATER.filter(({ name }) => flags.on(name)).map(({ name }) => `--${name}`);
    if (early.length > 0) {
      io.stderr(`observer run: without effect in this version: ${early.join(", ")}\n`);
    }
    const options = {
      command: call.args,
      name: flags.text("name") ?? null,
      memoryLimitBytes: memory === undefined ? null : Math.floor(parseSize(memory) ?? 0),
      workspace: flags.text("workspace"),
      quiet: flags.on("quiet"),
      where: {
        url: flags.text("url"),
        data: flags.text("data"),
        tokenFile: flags.text("token-file"),
      },
    };
    return call.local.run(options, io);
  },
};

function checkName(value: string): string | null {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(value)
    ? null
    : "must be letters, digits, dots, dashes and underscores, at most 64";
}

function checkMemory(value: string): string | null {
  const bytes = parseSize(value);
  return bytes !== null && bytes >= MEMORY_MIN_BYTES && Number.isSafeInteger(Math.floor(bytes))
    ? null
    : "must be a size of at least 4M, such as 512M or 4G";
}
