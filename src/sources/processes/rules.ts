// Which processes are agents: rules by program, script, module or package and by the position of arguments.

import { ObserverError } from "../../core/errors.ts";
import { KIND_RULES, type KindRule } from "./kinds.ts";
import {
  baseOf,
  type Invocation,
  invocationsOf,
  isInterpreter,
  isPython,
  isTitle,
} from "./command.ts";

/** What is looked at to tell whether a process is an agent. */
export interface CommandFacts {
  /** Null when it could not be read, empty for kernel threads and zombies. */
  argv: readonly string[] | null;
  /** Name of the process as the kernel keeps it, at most 15 bytes. Asked for only where it decides. */
  comm: () => string;
  /** Path of its program, null where it may not be read. Asked for only where it decides. */
  exe: () => string | null;
}

/** A rule of the user: positional wildcards, the program first. */
export interface UserRule {
  kind: string;
  program: RegExp;
  /** Holds a slash, so that the whole path is compared and not only its last part. */
  byPath: boolean;
  /** Fewer than the process has: a prefix. */
  args: RegExp[];
}

const USER_KIND = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/**
 * Reads `KIND=PROGRAM [ARGUMENT…]`. Throws `ObserverError` `invalid` that names every rule that cannot be read.
 */
export function parseUserRules(texts: readonly string[]): UserRule[] {
  const problems: string[] = [];
  const rules: UserRule[] = [];
  for (const text of texts) {
    const equals = text.indexOf("=");
    const kind = text.slice(0, Math.max(0, equals)).trim();
    const [program, ...args] = text
      .slice(equals + 1)
      .split(/\s+/)
      .filter((word) => word !== "");
    if (!USER_KIND.test(kind) || program === undefined || /^\*+$/.test(program)) {
      problems.push(
        `agents.rules: ${JSON.stringify(text)} must be KIND=PROGRAM [ARGUMENT…] with a program that is not only *`,
      );
      continue;
    }
    rules.push({
      kind,
      program: wildcard(program),
      byPath: program.includes("/"),
      args: args.map(wildcard),
    });
  }
  if (problems.length > 0) throw new ObserverError("invalid", problems.join("; "));
  return rules;
}

function wildcard(pattern: string): RegExp {
  const parts = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`, "s");
}

/** Kind of the agent that the process is, or null. The user's rules come first. */
export function recognise(facts: CommandFacts, userRules: readonly UserRule[]): string | null {
  const { argv } = facts;
  if (argv === null || argv.length === 0) return null;
  const invocations = invocationsOf(argv);
  const outermost = invocations[0];
  if (outermost === undefined) return null;
  for (const one of invocations) {
    const rule = userRules.find((rule) => matchesUserRule(rule, one));
    if (rule) return rule.kind;
  }
  // Electron and Chromium start their own binary again for each of their helpers.
  if (outermost.args.some((arg) => arg.startsWith("--type="))) return null;
  for (const one of invocations) {
    const rule = KIND_RULES.find((rule) => names(rule, one, facts));
    if (rule) return isHelper(rule, one) ? null : rule.kind;
  }
  return secondLook(facts, outermost);
}

function matchesUserRule({ program, byPath, args }: UserRule, one: Invocation): boolean {
  if (!program.test(byPath ? one.path : one.name)) return false;
  return args.every((pattern, at) => at < one.args.length && pattern.test(one.args[at] ?? ""));
}

function names(rule: KindRule, one: Invocation, { exe }: CommandFacts): boolean {
  const { by, name } = one;
  if (by === "module") return rule.modules?.includes(name) ?? false;
  if (by === "package") return rule.packages?.includes(name) ?? false;
  if (by === "script") {
    if (isInstaller(name)) return false;
    // Not for programs: packages bring searchers and other tools of their own.
    if (one.package !== null && rule.packages?.includes(one.package)) return true;
    return (rule.programs?.includes(name) || rule.scripts?.includes(name)) ?? false;
  }
  if (rule.positions?.some(([program, arg]) => name === program && arg.test(one.args[0] ?? ""))) {
    return true;
  }
  if (rule.programs?.includes(name)) return true;
  // A program of that name may be anybody's; run by python, or titled so by it, it is the agent.
  return (rule.scripts?.includes(name) ?? false) && isPython(exe() ?? "");
}

// What npm runs after it unpacked a package.
function isInstaller(name: string): boolean {
  return /^(pre|post)?install\.[cm]?js$/.test(name);
}

const ASKS = /^(--version|--help|-h|-V|-v|version|help)$/;
// Here `-v` is a flag of a real run.
const V_IS_VERBOSE = new Set(["aider", "goose", "hermes", "openhands"]);

/** Sub-commands that administer, and questions that are answered at once, are no agents. */
function isHelper(rule: KindRule, { args }: Invocation): boolean {
  const [first = ""] = args;
  const asks = (word: string): boolean =>
    ASKS.test(word) && !(word === "-v" && V_IS_VERBOSE.has(rule.kind));
  if (asks(first)) return true;
  if (rule.helperFlags?.some((flag) => args.includes(flag))) return true;
  const [verb, second] = verbsOf(args, rule.valued ?? []);
  if (verb === undefined) return rule.bare === false;
  if (second !== undefined && /^(--help|-h|--version)$/.test(second)) return true;
  if (rule.runs !== undefined && !rule.runs.includes(verb)) return true;
  if (rule.helpers?.includes(verb)) return true;
  const allowed = rule.subRuns?.[verb];
  return allowed !== undefined && second !== undefined && !second.startsWith("-")
    ? !allowed.includes(second)
    : false;
}

/** The first two words behind leading options. */
function verbsOf(args: readonly string[], valued: readonly string[]): (string | undefined)[] {
  let at = 0;
  while (at < args.length && args[at]?.startsWith("-")) {
    at += valued.includes(args[at] ?? "") ? 2 : 1;
  }
  return [args[at], args[at + 1]];
}

/**
 * For arguments that say nothing, because the program wrote a title over them or was started by the path of a
 * version: its file, and the name that the kernel keeps.
 */
function secondLook(facts: CommandFacts, outermost: Invocation): string | null {
  const { argv } = facts;
  const titled = argv !== null && isTitle(argv);
  if (!titled && !/^\d/.test(outermost.name)) return null;
  const exe = facts.exe() ?? "";
  const byFile = KIND_RULES.find(({ file }) => file?.test(exe) ?? false);
  // One file may hold many tools, told apart by argv[0]: `rg` from Claude Code's binary is a search.
  if (byFile && outermost.name === baseOf(exe)) {
    return isHelper(byFile, outermost) ? null : byFile.kind;
  }
  if (!titled || !isInterpreter(exe)) return null;
  const comm = facts.comm();
  const byComm = KIND_RULES.find(
    ({ programs, scripts }) => programs?.includes(comm) || scripts?.includes(comm),
  );
  return byComm?.kind ?? null;
}
