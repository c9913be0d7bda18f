// The help: all verbs in groups, or one verb in full.

import type { Paint } from "./paint.ts";
import { VERB_GROUPS, type Argument, type Verb } from "./verb.ts";

const EXAMPLES = [
  ["observer --reactive --workspace ~/app", "watch, and save ~/app when trouble strikes"],
  ["observer status", "is all well?"],
  ["observer checkpoint restore latest", "go back"],
  ["observer demo", "see it work in a minute"],
] as const;

/** Lines of help stay within a terminal of this width. */
const HELP_WIDTH = 80;

/** Words in lines of at most `width` cells. */
function fill(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** Names with their texts, both in their own column. */
function pairs(rows: readonly (readonly [string, string])[], paint: Paint): string {
  const longest = Math.max(0, ...rows.map(([name]) => name.length));
  const indent = 2 + longest + 2;
  return rows
    .flatMap(([name, text]) => {
      const [head = "", ...rest] = fill(text, HELP_WIDTH - indent);
      const first = `  ${paint("cyan", name.padEnd(longest))}  ${head}`.trimEnd();
      return [first, ...rest.map((more) => " ".repeat(indent) + more)];
    })
    .join("\n");
}

/** Help on everything. */
export function overallHelp(verbs: readonly Verb[], paint: Paint): string {
  const sections = VERB_GROUPS.map((group) => {
    const rows = verbs
      .filter((verb) => verb.group === group)
      .map((verb) => [verb.name, verb.summary] as const);
    return `${paint("bold", group)}\n${pairs(rows, paint)}`;
  });
  return [
    "observer watches AI coding agents on this machine, recognises trouble, and saves",
    "the workspace before work is lost.",
    "",
    `${paint("bold", "Usage")}\n  observer [serve] [flags]\n  observer VERB [flags]`,
    ...sections.flatMap((section) => ["", section]),
    "",
    `${paint("bold", "Examples")}\n${pairs(EXAMPLES, paint)}`,
    "",
    "observer VERB --help tells more. Exit status: 0 done, 1 failed, 2 wrong usage,",
    "3 no daemon answers.",
    "",
  ].join("\n");
}

/** Help on verbs that share their first word. */
export function familyHelp(verbs: readonly Verb[], paint: Paint): string {
  const rows = verbs.map((verb) => [verb.name, verb.summary] as const);
  const [head = ""] = verbs[0]?.name.split(" ") ?? [];
  return `${pairs(rows, paint)}\n\nobserver ${head} VERB --help tells more.\n`;
}

function argumentText(argument: Argument): string {
  const name = `${argument.oneOf?.join("|") ?? argument.name}${argument.many ? "…" : ""}`;
  return argument.required ? name : `[${name}]`;
}

/** One line: how the verb is called. */
export function usageLine(verb: Verb): string {
  const words = (verb.args ?? []).map(argumentText);
  // What follows a command line of its own belongs to it.
  const parts = verb.args?.at(-1)?.verbatim
    ? ["observer", verb.name, "[flags] --", ...words]
    : ["observer", verb.name, ...words, "[flags]"];
  return parts.join(" ");
}

/** Help on one verb. */
export function verbHelp(verb: Verb, paint: Paint): string {
  const flags = verb.flags.map((flag): [string, string] => {
    const choices = flag.oneOf ? ` (${flag.oneOf.join(", ")})` : "";
    const value = flag.value ? ` ${flag.value}` : "";
    return [`--${flag.name}${value}`, `${flag.help}${choices}`];
  });
  const rows = [...flags, ["--help", "Print this."] as const];
  return [
    ...fill(`observer ${verb.name}: ${verb.summary}`, HELP_WIDTH),
    ...(verb.about ? fill(verb.about, HELP_WIDTH) : []),
    "",
    `${paint("bold", "Usage")}\n  ${usageLine(verb)}`,
    "",
    `${paint("bold", "Flags")}\n${pairs(rows, paint)}`,
    "",
    `${paint("bold", "Examples")}\n${verb.examples.map((example) => `  ${example}`).join("\n")}`,
    "",
  ].join("\n");
}
