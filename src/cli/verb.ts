// What a verb is: its name, its flags, and what it is given when it runs.

import type { Client } from "./client.ts";
import type { CliIo } from "./io.ts";
import type { CliLocal } from "./local.ts";
import type { UsageProblem } from "./usage.ts";

export interface Flag {
  name: string;
  /** Placeholder of the value in the help; absent for a switch. */
  value?: string;
  /** May be given several times. */
  many?: boolean;
  help: string;
  /** The rule that the value breaks, or null. */
  check?(value: string): string | null;
  /** Allowed values; also offered by shell completion. */
  oneOf?: readonly string[];
}

export interface Argument {
  name: string;
  required?: boolean;
  many?: boolean;
  check?(value: string): string | null;
  oneOf?: readonly string[];
  /** What completion offers. */
  completes?: "files";
  /** A command line of its own: from its first word on nothing is a flag of ours, and nothing is checked. */
  verbatim?: boolean;
}

/** The parsed flags: values by name, switches as presence. */
export interface FlagValues {
  text(name: string): string | undefined;
  all(name: string): string[];
  on(name: string): boolean;
}

/** What was typed, and where. */
export interface Given {
  io: CliIo;
  flags: FlagValues;
  args: string[];
}

/** Everything a verb works with. */
export interface Call extends Given {
  /** Connects to the daemon on first use; throws `NoDaemonError` when none answers. */
  client(): Client;
  local: CliLocal;
}

export const VERB_GROUPS = ["Run", "Look", "Save and restore", "Work on files", "Set up"] as const;
export type VerbGroup = (typeof VERB_GROUPS)[number];

export interface Verb {
  /** One word, or two for a verb of a family: `checkpoint create`. */
  name: string;
  group: VerbGroup;
  summary: string;
  /** More than the summary says, printed by `--help`. */
  about?: string;
  args?: readonly Argument[];
  flags: readonly Flag[];
  examples: readonly string[];
  /** What is wrong with flags and arguments that are each valid alone. */
  check?(given: Given): UsageProblem[];
  /** Exit status. */
  run(call: Call): Promise<number>;
}
