// Flags that several verbs share, and the parser that reports every problem at once.

import { parseArgs } from "node:util";
import { parseDuration } from "../core/units.ts";
import { nearest } from "../core/nearest.ts";
import type { UsageProblem } from "./usage.ts";
import type { Argument, Flag, FlagValues } from "./verb.ts";

/** How the daemon is found; every verb that talks to it takes these. */
export const CLIENT_FLAGS: readonly Flag[] = [
  { name: "url", value: "URL", help: "Daemon to ask, instead of the local one.", check: checkUrl },
  { name: "data", value: "DIR", help: "Data directory of the daemon." },
  { name: "token-file", value: "FILE", help: "File with the access token." },
];

export const JSON_FLAG: Flag = { name: "json", help: "Print data as JSON." };

/** Bound of `limit` in the API. */
const LIMIT_MAX = 1_000;

export const LIST_FLAGS: readonly Flag[] = [
  { name: "limit", value: "N", help: "Most rows, 1 to 1000 (default 20).", check: checkLimit },
  { name: "since", value: "TIME", help: "Not older: 10m, 2h, 7d or a date.", check: checkTime },
  { name: "until", value: "TIME", help: "Not newer: 10m, 2h, 7d or a date.", check: checkTime },
  { name: "cursor", value: "CURSOR", help: "Continue after an earlier page." },
  {
    name: "filter",
    value: "FIELD=VALUE",
    many: true,
    help: "Any field that the rows show.",
    check: (value) => (/^[a-z_]+=/.test(value) ? null : "must be FIELD=VALUE"),
  },
];

function checkUrl(value: string): string | null {
  const protocol = URL.canParse(value) ? new URL(value).protocol : "";
  return protocol === "http:" || protocol === "https:" ? null : "must be an http or https URL";
}

function checkLimit(value: string): string | null {
  const limit = Number(value);
  const good = /^\d+$/.test(value) && limit >= 1 && limit <= LIMIT_MAX;
  return good ? null : `must be a whole number from 1 to ${LIMIT_MAX}`;
}

function checkTime(value: string): string | null {
  return parseDuration(value) !== null || !Number.isNaN(Date.parse(value))
    ? null
    : "must be a duration such as 10m or 2h, or a date such as 2026-01-31T08:00:00Z";
}

export interface ParsedCommand {
  flags: FlagValues;
  args: string[];
  help: boolean;
  problems: UsageProblem[];
}

interface Spec {
  flags: readonly Flag[];
  args?: readonly Argument[];
}

/** Reads `argv` against `spec`. Never throws: what is wrong is in `problems`. */
export function parseCommand(argv: string[], spec: Spec): ParsedCommand {
  if (!spec.args?.at(-1)?.verbatim) return parseWords(argv, spec);
  const at = firstWord(argv, spec.flags);
  const parsed = parseWords(argv.slice(0, at), { ...spec, args: [] });
  const args = argv.slice(argv[at] === "--" ? at + 1 : at);
  const problems = [...parsed.problems, ...argumentProblems(args, spec.args)];
  return { ...parsed, args, problems };
}

/** Where the flags end: at `--`, or at the first word that is neither a flag nor the value of one. */
function firstWord(argv: string[], flags: readonly Flag[]): number {
  const takesValue = new Set(flags.flatMap(({ name, value }) => (value ? [`--${name}`] : [])));
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? "";
    if (word === "--" || !word.startsWith("-")) return at;
    if (takesValue.has(word) && argv[at + 1] !== "--") at += 1;
  }
  return argv.length;
}

function parseWords(argv: string[], spec: Spec): ParsedCommand {
  const known = new Map(spec.flags.map((flag) => [flag.name, flag]));
  const options: Record<string, { type: "string" | "boolean"; short?: string }> = {
    help: { type: "boolean", short: "h" },
  };
  for (const flag of spec.flags) options[flag.name] = { type: flag.value ? "string" : "boolean" };
  const { tokens } = parseArgs({
    args: argv,
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values = new Map<string, string[]>();
  const args: string[] = [];
  const problems: UsageProblem[] = [];
  let help = false;
  for (const token of tokens) {
    if (token.kind === "positional") args.push(token.value);
    if (token.kind !== "option") continue;
    if (token.name === "help") help = true;
    else readFlag(token, known, { values, problems });
  }
  problems.push(...argumentProblems(args, spec.args ?? []));
  return { flags: flagValues(values), args, help, problems };
}

function readFlag(
  token: {
    name: string;
    rawName: string;
    value: string | undefined;
    inlineValue?: boolean | undefined;
  },
  known: ReadonlyMap<string, Flag>,
  into: { values: Map<string, string[]>; problems: UsageProblem[] },
): void {
  const flag = known.get(token.name);
  const field = token.rawName;
  const report = (rule: string, value?: string): void => {
    into.problems.push({ field, rule, ...(value === undefined ? {} : { value }) });
  };
  if (!flag) {
    const meant = nearest(token.name, [...known.keys(), "help"]);
    into.problems.push({
      field,
      rule: "is not a flag of this command",
      meant: meant && `--${meant}`,
    });
    return;
  }
  if (!flag.value) {
    if (token.value !== undefined) return report("takes no value", token.value);
    into.values.set(flag.name, []);
    return;
  }
  // `--limit --json` is a forgotten value, not a value that starts with dashes.
  if (token.value === undefined || (!token.inlineValue && token.value.startsWith("--"))) {
    return report(`needs a value: --${flag.name} ${flag.value}`);
  }
  const before = into.values.get(flag.name) ?? [];
  if (before.length > 0 && !flag.many) return report("is given more than once", token.value);
  const rule = ruleBroken(token.value, flag);
  if (rule) return report(rule, token.value);
  into.values.set(flag.name, [...before, token.value]);
}

function ruleBroken(value: string, rules: Pick<Flag, "oneOf" | "check">): string | null {
  if (rules.oneOf && !rules.oneOf.includes(value)) {
    const meant = nearest(value, rules.oneOf);
    const hint = meant ? `; did you mean ${meant}?` : "";
    return `must be one of ${rules.oneOf.join(", ")}${hint}`;
  }
  if (value === "") return "must not be empty";
  return rules.check?.(value) ?? null;
}

function argumentProblems(args: string[], wanted: readonly Argument[]): UsageProblem[] {
  const problems: UsageProblem[] = [];
  for (const [position, argument] of wanted.entries()) {
    const given = argument.many ? args.slice(position) : args.slice(position, position + 1);
    if (given.length === 0 && argument.required) {
      problems.push({ field: argument.name, rule: "is missing" });
    }
    for (const value of argument.verbatim ? [] : given) {
      const rule = ruleBroken(value, argument);
      if (rule) problems.push({ field: argument.name, value, rule });
    }
  }
  const most = wanted.at(-1)?.many ? Infinity : wanted.length;
  for (const extra of args.slice(most)) {
    problems.push({ field: "argument", value: extra, rule: "is not expected here" });
  }
  return problems;
}

function flagValues(values: ReadonlyMap<string, string[]>): FlagValues {
  return {
    text: (name) => values.get(name)?.at(-1),
    all: (name) => values.get(name) ?? [],
    on: (name) => values.has(name),
  };
}
