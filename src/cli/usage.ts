// What is wrong with a command line: every problem at once, each with the rule and the nearest name.

import type { SettingProblem } from "../config/settings.ts";
import type { ObserverError } from "../core/errors.ts";
import { printable } from "../core/text.ts";

export interface UsageProblem {
  /** Flag (`--limit`), argument (`ID`) or `command`. */
  field: string;
  /** As it was given; absent when nothing was. */
  value?: string;
  rule: string;
  /** The valid name that was probably meant. */
  meant?: string | null;
}

/** Thrown for wrong usage; the command line ends with status 2 and shows every problem. */
export class UsageError extends Error {
  readonly problems: UsageProblem[];

  constructor(problems: UsageProblem[]) {
    super(problems.map(problemLine).join("\n"));
    this.name = "UsageError";
    this.problems = problems;
  }
}

/** One problem as one printable line. */
export function problemLine(problem: UsageProblem): string {
  const value = problem.value === undefined ? "" : ` "${printable(problem.value)}"`;
  const meant = problem.meant ? `; did you mean ${problem.meant}?` : "";
  return `${printable(problem.field)}${value}: ${problem.rule}${meant}`;
}

/** What a refused configuration says is wrong with it; null for any other error. */
export function settingProblems({ detail }: ObserverError): UsageProblem[] | null {
  const { problems } = detail as { problems?: SettingProblem[] };
  // Texts come quoted, as in a file; a problem's line quotes its value by itself.
  const unquoted = (value: string): string => /^"(.*)"$/s.exec(value)?.[1] ?? value;
  return problems?.map((problem) => ({ ...problem, value: unquoted(problem.value) })) ?? null;
}
