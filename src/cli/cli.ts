// The command line: finds the verb, checks what it was given, runs it, and turns errors into exit statuses.

import { messageOf, ObserverError } from "../core/errors.ts";
import { printable } from "../core/text.ts";
import { ApiError, createClient, NoDaemonError, type Client } from "./client.ts";
import { daemonRoutes } from "./find-daemon.ts";
import { parseCommand } from "./flags.ts";
import { familyHelp, overallHelp, usageLine, verbHelp } from "./help.ts";
import type { CliIo } from "./io.ts";
import type { CliLocal } from "./local.ts";
import { nearest } from "../core/nearest.ts";
import { createPaint } from "./paint.ts";
import { problemLine, settingProblems, UsageError, type UsageProblem } from "./usage.ts";
import type { Call, FlagValues, Verb } from "./verb.ts";
import { VERBS, VERBS_LATER, serveVerb } from "./verbs.ts";

/** The contract's exit statuses. */
const EXIT = { failed: 1, usage: 2, noDaemon: 3 } as const;

/**
 * Runs one command line (`argv` without the program) and resolves with the exit status: 0 done, 1 failed,
 * 2 wrong usage, 3 no daemon answers. Never rejects, except with a bug.
 */
export async function runCli(argv: string[], io: CliIo, local: CliLocal): Promise<number> {
  const [first] = argv;
  const paint = createPaint(io.colour);
  if (first === "--help" || first === "-h" || first === "help") {
    return help(argv.slice(1), io);
  }
  if (first === "--version") return await runCli(["version", ...argv.slice(1)], io, local);
  try {
    if (argv.length === 2 && isFamily(first) && asksForHelp(argv)) return help([first], io);
    const found = findVerb(argv);
    if (found.verb !== serveVerb) return await runVerb(found.verb, found.rest, { io, local });
    if (asksForHelp(found.rest)) {
      io.stdout(first === "serve" ? verbHelp(serveVerb, paint) : overallHelp(VERBS, paint));
      return 0;
    }
    return await local.serve(found.rest);
  } catch (thrown) {
    return explain(thrown, argv, io);
  }
}

function isFamily(head: string | undefined): head is string {
  return head !== undefined && VERBS.some(({ name }) => name.startsWith(`${head} `));
}

function asksForHelp(argv: string[]): boolean {
  return argv.includes("--help") || argv.includes("-h");
}

/** Help on a verb, on a family such as `checkpoint`, or on everything. */
function help(about: string[], io: CliIo): number {
  const paint = createPaint(io.colour);
  const topic = about.join(" ");
  const verb = VERBS.find(({ name }) => name === topic);
  const family = VERBS.filter(({ name }) => name.startsWith(`${topic} `));
  if (verb) io.stdout(verbHelp(verb, paint));
  else io.stdout(family.length > 0 ? familyHelp(family, paint) : overallHelp(VERBS, paint));
  return 0;
}

/** The verb that `argv` names and what is left of it. Errors: `UsageError`. */
function findVerb(argv: string[]): { verb: Verb; rest: string[] } {
  const [head, tail] = argv;
  // Without a verb, or with flags only, observer runs.
  if (head === undefined || head.startsWith("-")) return { verb: serveVerb, rest: argv };
  const two = VERBS.find(({ name }) => name === `${head} ${tail}`);
  if (two) return { verb: two, rest: argv.slice(2) };
  const one = VERBS.find(({ name }) => name === head);
  if (one) return { verb: one, rest: argv.slice(1) };
  throw new UsageError([unknownVerb(head, tail)]);
}

function unknownVerb(head: string, tail: string | undefined): UsageProblem {
  const later = VERBS_LATER.find((name) => name === head || name === `${head} ${tail}`);
  if (later) return { field: "command", value: later, rule: "is not in this version yet" };
  const family = VERBS.filter(({ name }) => name.startsWith(`${head} `)).map(
    ({ name }) => name.split(" ")[1] ?? "",
  );
  if (family.length > 0) {
    const rule = `needs one of ${family.join(", ")}`;
    if (tail === undefined || tail.startsWith("-")) return { field: "command", value: head, rule };
    const meant = nearest(tail, family);
    const value = `${head} ${tail}`;
    return {
      field: "command",
      value,
      rule: `is unknown; ${head} ${rule}`,
      meant: meant && `${head} ${meant}`,
    };
  }
  const heads = [...new Set(VERBS.map(({ name }) => name.split(" ")[0] ?? ""))];
  return { field: "command", value: head, rule: "is unknown", meant: nearest(head, heads) };
}

async function runVerb(
  verb: Verb,
  argv: string[],
  deps: { io: CliIo; local: CliLocal },
): Promise<number> {
  const { io, local } = deps;
  const parsed = parseCommand(argv, verb);
  if (parsed.help) {
    io.stdout(verbHelp(verb, createPaint(io.colour)));
    return 0;
  }
  const given = { io, flags: parsed.flags, args: parsed.args };
  const problems = [...parsed.problems, ...(verb.check?.(given) ?? [])];
  if (problems.length > 0) throw new UsageError(problems);
  const call: Call = {
    ...given,
    local,
    client: lazyClient(io, parsed.flags),
  };
  return await verb.run(call);
}

function lazyClient(io: CliIo, flags: FlagValues): () => Client {
  let client: Client | null = null;
  return () => {
    client ??= createClient(
      daemonRoutes(io, {
        url: flags.text("url"),
        data: flags.text("data"),
        tokenFile: flags.text("token-file"),
      }),
    );
    return client;
  };
}

function explain(thrown: unknown, argv: string[], io: CliIo): number {
  const paint = createPaint(io.colour);
  const say = (text: string): void => io.stderr(`${paint("red", "observer")}: ${text}\n`);
  if (thrown instanceof UsageError) {
    for (const problem of thrown.problems) say(problemLine(problem));
    const verb = VERBS.find(({ name }) => `${argv.slice(0, 2).join(" ")} `.startsWith(`${name} `));
    io.stderr(verb ? `usage: ${usageLine(verb)}\n` : "observer --help lists every command\n");
    // An installed hook of a later version must never stop an agent: there, status 2 would mean "deny".
    return argv[0] === "hook" ? 0 : EXIT.usage;
  }
  if (thrown instanceof NoDaemonError) {
    say(`${printable(thrown.message)}; start it with: observer`);
    return EXIT.noDaemon;
  }
  if (thrown instanceof ApiError) {
    say(printable(thrown.message));
    if (thrown.status === 401) {
      io.stderr("run it as root or as observer's user, or give --token-file FILE\n");
    }
    return EXIT.failed;
  }
  if (thrown instanceof ObserverError) {
    const problems = thrown.code === "invalid" ? settingProblems(thrown) : null;
    if (problems) for (const problem of problems) say(problemLine(problem));
    else say(printable(thrown.message));
    return thrown.code === "invalid" ? EXIT.usage : EXIT.failed;
  }
  say(`a fault of observer itself: ${printable(messageOf(thrown))}`);
  return EXIT.failed;
}
