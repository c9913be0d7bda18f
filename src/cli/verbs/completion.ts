// `observer completion bash|zsh|fish`: made from the verb table, so that it is never behind it.

import type { Verb } from "../verb.ts";

export const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];

/** Completion script for one shell, made from `verbs`. */
export function completionScript(shell: Shell, verbs: readonly Verb[]): string {
  switch (shell) {
    case "bash":
      return bash(verbs);
    case "zsh":
      return `#compdef observer\nautoload -U +X bashcompinit && bashcompinit\n${bash(verbs)}`;
    case "fish":
      return fish(verbs);
  }
}

/** The first words, and the second words of families such as `checkpoint`. */
function words(verbs: readonly Verb[]): { first: string[]; families: Map<string, string[]> } {
  const first = new Set<string>();
  const families = new Map<string, string[]>();
  for (const { name } of verbs) {
    const [head = "", tail] = name.split(" ");
    first.add(head);
    if (tail) families.set(head, [...(families.get(head) ?? []), tail]);
  }
  return { first: [...first], families };
}

function flagWords(verb: Verb): string {
  return [...verb.flags.map((flag) => `--${flag.name}`), "--help"].join(" ");
}

function argumentWords(verb: Verb): string {
  return (verb.args ?? []).flatMap((argument) => argument.oneOf ?? []).join(" ");
}

function bash(verbs: readonly Verb[]): string {
  const { first, families } = words(verbs);
  const subs = [...families].map(([head, tails]) => `    ${head}) words="${tails.join(" ")}" ;;`);
  const flags = verbs.map((verb) => `    "${verb.name}") words="${flagWords(verb)}" ;;`);
  const values = new Map<string, string>();
  for (const flag of verbs.flatMap((verb) => verb.flags)) {
    if (flag.oneOf)
      values.set(
        flag.name,
        [
          ...new Set(`${values.get(flag.name) ?? ""} ${flag.oneOf.join(" ")}`.trim().split(" ")),
        ].join(" "),
      );
  }
  const valueCases = [...values].map(([name, list]) => `    --${name}) words="${list}" ;;`);
  const argCases = verbs
    .filter((verb) => argumentWords(verb) !== "")
    .map((verb) => `    "${verb.name}") words="${argumentWords(verb)}" ;;`);
  const heads = [...families.keys()].join("|");
  return `# observer completion: source this file, or put it where your shell looks for completions.
_observer() {
  local cur prev verb words
  cur="\${COMP_WORDS[COMP_CWORD]}"
  prev="\${COMP_WORDS[COMP_CWORD-1]}"
  verb="\${COMP_WORDS[1]}"
  words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${first.join(" ")} --help" -- "$cur"))
    return
  fi
  case "$verb" in ${heads})
    if [ "$COMP_CWORD" -eq 2 ]; then
      case "$verb" in
${subs.join("\n")}
      esac
      COMPREPLY=($(compgen -W "$words" -- "$cur"))
      return
    fi
    verb="$verb \${COMP_WORDS[2]}" ;;
  esac
  case "$prev" in
${valueCases.join("\n")}
  esac
  if [ -z "$words" ] && [ "\${cur#-}" = "$cur" ]; then
    case "$verb" in
${argCases.join("\n")}
    esac
  elif [ -z "$words" ]; then
    case "$verb" in
${flags.join("\n")}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _observer observer
`;
}

/** Text within single quotes of fish. */
function quoted(text: string): string {
  return `'${text.replace(/\\/g, "\\\\").replace(/'/g, "\\'")}'`;
}

function fish(verbs: readonly Verb[]): string {
  const lines = ["# observer completion", "complete -c observer -n __fish_use_subcommand -f"];
  const { families } = words(verbs);
  for (const head of families.keys()) {
    lines.push(`complete -c observer -n __fish_use_subcommand -f -a ${head}`);
  }
  for (const verb of verbs) {
    const [head = "", tail] = verb.name.split(" ");
    const seen = tail
      ? `__fish_seen_subcommand_from ${head}; and __fish_seen_subcommand_from ${tail}`
      : `__fish_seen_subcommand_from ${head}`;
    const tails = families.get(head)?.join(" ") ?? "";
    lines.push(
      tail
        ? `complete -c observer -n ${quoted(`__fish_seen_subcommand_from ${head}; and not __fish_seen_subcommand_from ${tails}`)} -f -a ${tail} -d ${quoted(verb.summary)}`
        : `complete -c observer -n __fish_use_subcommand -f -a ${head} -d ${quoted(verb.summary)}`,
    );
    const choices = argumentWords(verb);
    if (choices) lines.push(`complete -c observer -n ${quoted(seen)} -f -a ${quoted(choices)}`);
    for (const flag of verb.flags) {
      const value = flag.oneOf ? ` -x -a ${quoted(flag.oneOf.join(" "))}` : flag.value ? " -r" : "";
      lines.push(
        `complete -c observer -n ${quoted(seen)} -l ${flag.name}${value} -d ${quoted(flag.help)}`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}
