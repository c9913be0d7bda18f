// Which program a command line runs: looks through interpreters and package runners, by the position of each argument.

/** What a process runs, in the terms that rules are written in. */
export interface Invocation {
  /** `program`: it is argv[0] itself. The others were named to an interpreter or a package runner. */
  by: "program" | "script" | "module" | "package";
  /** Last part of the path, the module's dotted name, or the package's name without version. */
  name: string;
  /** As written; the same as `name` for modules and packages. */
  path: string;
  /** npm package that the script lies in, null where the path does not say. */
  package: string | null;
  /** What the program itself gets. */
  args: string[];
}

interface Interpreter {
  names: RegExp;
  /** Options whose value is the next argument. */
  valued: readonly string[];
  /** Options after which no file is run: code on the command line or on stdin, or only a version. */
  endless: RegExp;
  /** Option that names a module. */
  module?: RegExp;
}

const NODE: Interpreter = {
  names: /^(node|nodejs|node\d+|tsx|ts-node)$/,
  valued: [
    "-r",
    "--require",
    "--import",
    "--loader",
    "--experimental-loader",
    "-C",
    "--conditions",
    "--env-file",
    "--title",
    "--tsconfig",
  ],
  endless:
    /^(-|-e|-p|-pe|-i|-v|-h|-c|--(eval|print|interactive|check|test|run|version|help)(=.*)?)$/,
};
const PYTHON: Interpreter = {
  names: /^(python(\d+(\.\d+)*)?|pypy3?)$/,
  valued: ["-W", "-X", "--check-hash-based-pycs"],
  endless: /^(-|-[bBdEhiIOPqRsSuvVx?]*c|-V|-VV|-h|--version|--help)$/,
  module: /^-[bBdEhiIOPqRsSuvx]*m$/,
};
const SHELL: Interpreter = {
  names: /^(sh|bash|dash|zsh|ksh|ash)$/,
  valued: ["-o", "+o", "-O", "+O", "--rcfile", "--init-file"],
  endless: /^(-[abefhiklmnprtuvxBCEHPT]*[cs][a-zA-Z]*|--version|--help)$/,
};
const INTERPRETERS = [NODE, PYTHON, SHELL];

/** Commands that run what another argument names; `run` is what that argument is. */
interface Runner {
  names: RegExp;
  /** First arguments that stand before the target, in order; none for a runner that takes it at once. */
  verbs: readonly (readonly string[])[];
  valued: readonly string[];
  /** `command`: a command line of its own. `package`: a package whose program is run. `script`: a file. */
  run: "command" | "package" | "script";
  endless: RegExp;
  module?: RegExp;
}

const NONE = /^$/;
const BUN_VALUED = [
  "-r",
  "--preload",
  "--cwd",
  "-c",
  "--config",
  "--env-file",
  "--tsconfig-override",
];
const UV_VALUED = [
  "-p",
  "--python",
  "--with",
  "--with-requirements",
  "--with-editable",
  "--from",
  "--project",
  "--directory",
  "--env-file",
  "--extra",
  "--group",
  "--index",
  "--index-url",
  "--default-index",
  "--cache-dir",
];
const NPX_VALUED = ["-p", "--package", "-w", "--workspace", "--prefix", "--registry", "--cache"];
const DENO_VALUED = ["-c", "--config", "--import-map", "-L", "--log-level", "--cert", "--location"];

const RUNNERS: readonly Runner[] = [
  {
    names: /^(npx|bunx|npx-cli\.js|pnpx)$/,
    verbs: [],
    valued: NPX_VALUED,
    run: "package",
    endless: /^(-c|--call|-v|--version|-h|--help)$/,
  },
  {
    names: /^(npm|npm-cli\.js|pnpm|pnpm\.cjs|yarn|yarn\.js)$/,
    verbs: [["exec"], ["x"], ["dlx"]],
    valued: NPX_VALUED,
    run: "package",
    endless: /^(-c|--call)$/,
  },
  { names: /^bun$/, verbs: [["x"]], valued: BUN_VALUED, run: "package", endless: NONE },
  {
    names: /^(bun|deno)$/,
    verbs: [["run"]],
    valued: [...BUN_VALUED, ...DENO_VALUED],
    run: "script",
    endless: /^(-|-e|--eval|-p|--print)$/,
  },
  {
    // Without a verb the first argument is a file, unless it is one of bun's own commands.
    names: /^bun$/,
    verbs: [[]],
    valued: BUN_VALUED,
    run: "script",
    endless: /^(-|-e|--eval|-p|--print|-v|--version|-h|--help|--revision)$/,
  },
  {
    names: /^uvx$/,
    verbs: [],
    valued: UV_VALUED,
    run: "package",
    endless: /^(-V|--version|-h|--help)$/,
  },
  { names: /^uv$/, verbs: [["tool", "run"]], valued: UV_VALUED, run: "package", endless: NONE },
  {
    names: /^uv$/,
    verbs: [["run"]],
    valued: UV_VALUED,
    run: "command",
    endless: /^(-s|--script)$/,
    module: /^(-m|--module)$/,
  },
  {
    names: /^pipx$/,
    verbs: [["run"]],
    valued: ["--spec", "--python"],
    run: "package",
    endless: NONE,
  },
  {
    names: /^(poetry|pipenv|pdm|hatch|rye)$/,
    verbs: [["run"]],
    valued: [],
    run: "command",
    endless: NONE,
  },
];
const BUN_COMMANDS =
  /^(test|install|i|add|a|remove|rm|update|link|unlink|pm|build|init|create|upgrade|exec|repl|outdated|publish|patch|info|why|audit)$/;

/** Interpreter in a runner in an interpreter, as `node npx-cli.js tsx cli.ts`: more does not happen. */
const DEPTH_MAX = 4;

/**
 * What the command line runs, outermost first: argv[0] itself, then what it names to its interpreter. Rules may
 * match either. Empty for kernel threads and zombies, which have no command line.
 */
export function invocationsOf(argv: readonly string[]): Invocation[] {
  const words = wordsOf(argv);
  const first = words[0];
  if (first === undefined || first === "") return [];
  const found: Invocation[] = [invocation("program", first.replace(/^-/, ""), words.slice(1))];
  for (let depth = 0; depth < DEPTH_MAX; depth += 1) {
    const last = found.at(-1);
    const next = last && unwrap(last);
    if (!next) break;
    found.push(next);
  }
  return found;
}

/** Whether the process wrote a title over its arguments: they are one text, and what followed is zeros. */
export function isTitle(argv: readonly string[]): boolean {
  return (
    (argv[0] ?? "").includes(" ") && !argv[0]?.startsWith("/") && withoutEnd(argv).length === 1
  );
}

/** The interpreters whose programs may write titles over their arguments. */
export function isInterpreter(path: string): boolean {
  const name = baseOf(path);
  return name === "bun" || name === "deno" || INTERPRETERS.some((one) => one.names.test(name));
}

export function isPython(path: string): boolean {
  return PYTHON.names.test(baseOf(path));
}

export function baseOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

// A title such as `npm exec @openai/codex` has its words in one argument.
function wordsOf(argv: readonly string[]): string[] {
  return isTitle(argv)
    ? (argv[0] ?? "").split(" ").filter((word) => word !== "")
    : withoutEnd(argv);
}

function withoutEnd(argv: readonly string[]): string[] {
  let end = argv.length;
  while (end > 0 && argv[end - 1] === "") end -= 1;
  return argv.slice(0, end);
}

function invocation(by: "program" | "script", path: string, args: string[]): Invocation {
  // Nix hides the real file of a wrapped program under such a name.
  const name = baseOf(path).replace(/^\.(.+)-(?:un)?wrapped$/, "$1");
  return { by, name, path, package: packageOf(path), args };
}

// The innermost one: a package's own dependencies lie in a node_modules below it.
function packageOf(path: string): string | null {
  const at = path.lastIndexOf("/node_modules/");
  if (at < 0) return null;
  const [scope = "", name = ""] = path.slice(at + "/node_modules/".length).split("/");
  return scope.startsWith("@") ? `${scope}/${name}` : scope;
}

function unwrap({ by, name, args }: Invocation): Invocation | null {
  if (by === "module" || by === "package") return null;
  const interpreter = by === "program" && INTERPRETERS.find((one) => one.names.test(name));
  if (interpreter) return target(interpreter, args, "script");
  for (const runner of RUNNERS) {
    if (!runner.names.test(name)) continue;
    const rest = afterVerb(runner, args);
    if (rest === null) continue;
    return target(runner, rest, runner.run);
  }
  return null;
}

/** Arguments behind the runner's verb; null when another verb stands there. */
function afterVerb({ verbs, valued }: Runner, args: string[]): string[] | null {
  if (verbs.length === 0) return args;
  const start = skipOptions(args, valued, NONE);
  if (start === null) return null;
  for (const verb of verbs) {
    if (verb.length === 0) return BUN_COMMANDS.test(args[start] ?? "") ? null : args;
    if (verb.every((word, at) => args[start + at] === word)) return args.slice(start + verb.length);
  }
  return null;
}

/** Index of the first argument that is no option; null when an option says that nothing is run. */
function skipOptions(args: string[], valued: readonly string[], endless: RegExp): number | null {
  let at = 0;
  for (; at < args.length; at += 1) {
    const word = args[at] ?? "";
    if (endless !== NONE && endless.test(word)) return null;
    if (word === "--") return at + 1;
    if (!/^[-+]./.test(word)) break;
    if (valued.includes(word)) at += 1;
  }
  return at;
}

function target(
  { valued, endless, module }: Pick<Interpreter, "valued" | "endless" | "module">,
  args: string[],
  run: Runner["run"],
): Invocation | null {
  const moduleAt = module === undefined ? -1 : moduleIndex(args, valued, module);
  if (moduleAt >= 0) {
    const name = args[moduleAt] ?? "";
    return { by: "module", name, path: name, package: null, args: args.slice(moduleAt + 1) };
  }
  const at = skipOptions(args, valued, endless);
  const word = at === null ? undefined : args[at];
  if (at === null || word === undefined || word === "") return null;
  const rest = args.slice(at + 1);
  if (run === "package" || /^(npm|jsr):/.test(word)) {
    const name = packageName(word);
    return { by: "package", name, path: name, package: name, args: rest };
  }
  return invocation(run === "command" ? "program" : "script", word, rest);
}

function moduleIndex(args: string[], valued: readonly string[], module: RegExp): number {
  for (let at = 0; at < args.length; at += 1) {
    const word = args[at] ?? "";
    if (module.test(word)) return at + 1 < args.length ? at + 1 : -1;
    if (!word.startsWith("-") || word === "-" || /^-[a-zA-Z]*c$/.test(word)) return -1;
    if (valued.includes(word)) at += 1;
  }
  return -1;
}

// `npm:@scope/name@1.2/cli` and `name@latest` without prefix, version and sub-path.
function packageName(word: string): string {
  const match = /^(?:npm:|jsr:)?\/?(@[^/@]+\/[^/@]+|[^/@]+)/.exec(word);
  return match?.[1] ?? word;
}
