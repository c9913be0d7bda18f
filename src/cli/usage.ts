// What is wrong with a command line: every problem at once, each with the rule and the nearest name.

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
