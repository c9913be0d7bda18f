// The agents that observer knows by itself: how their processes look. A table; rules.ts says what the columns mean.

/** One agent's programs. Every name is compared whole, never as a part of another. */
export interface KindRule {
  kind: string;
  /** Name of argv[0], or of a script that an interpreter runs. */
  programs?: readonly string[];
  /** Names that mean this agent only when an interpreter runs them. */
  scripts?: readonly string[];
  /** npm packages whose scripts it is, and packages named to npx, bunx or uvx. */
  packages?: readonly string[];
  /** Modules named to `python -m`. */
  modules?: readonly string[];
  /** Program, and what its first argument must be. */
  positions?: readonly (readonly [string, RegExp])[];
  /** File of the program, where its name says nothing. */
  file?: RegExp;
  /** The only first words with which it is an agent. Absent: all but `helpers`. */
  runs?: readonly string[];
  /** First words with which it administers something and is no agent. */
  helpers?: readonly string[];
  /** For a first word: the only second words with which it is an agent. */
  subRuns?: Readonly<Record<string, readonly string[]>>;
  /** Arguments that make it a helper wherever they stand. */
  helperFlags?: readonly string[];
  /** Options in front of the first word whose value is the next argument. */
  valued?: readonly string[];
  /** False: without a first word it is no agent. */
  bare?: boolean;
}

const CLAUDE_CODE: KindRule = {
  kind: "claude-code",
  programs: ["claude"],
  packages: ["@anthropic-ai/claude-code", "@anthropic-ai/claude-agent-sdk"],
  // The native installer: ~/.local/share/claude/versions/2.1.201, started by that path for background sessions.
  file: /\/claude\/versions\/\d+\.[^/]+$/,
  helpers: [
    "mcp",
    "config",
    "doctor",
    "update",
    "upgrade",
    "install",
    "uninstall",
    "migrate-installer",
    "plugin",
    "plugins",
    "setup-token",
    "auth",
    "login",
    "logout",
    "agents",
    "daemon",
    "completion",
  ],
  // A spare waits for a session, a host holds a terminal: neither works.
  helperFlags: ["--bg-spare", "--bg-pty-host", "--claude-in-chrome-mcp", "--chrome-native-host"],
};

const CODEX: KindRule = {
  kind: "codex",
  programs: ["codex", "codex-exec"],
  packages: ["@openai/codex"],
  helpers: [
    "login",
    "logout",
    "mcp",
    "mcp-server",
    "completion",
    "sandbox",
    "debug",
    "apply",
    "a",
    "cloud",
    "features",
    "execpolicy",
    "update",
    "doctor",
    "plugin",
    "responses-api-proxy",
    "stdio-to-uds",
  ],
  valued: [
    "-c",
    "--config",
    "-m",
    "--model",
    "-p",
    "--profile",
    "-C",
    "--cd",
    "-s",
    "--sandbox",
    "-a",
    "--ask-for-approval",
    "-i",
    "--image",
    "--enable",
    "--disable",
    "--add-dir",
  ],
};

const GEMINI: KindRule = {
  kind: "gemini",
  programs: ["gemini"],
  packages: ["@google/gemini-cli"],
  helpers: ["mcp", "extensions", "extension", "skills", "skill", "hooks", "hook"],
  helperFlags: ["--list-extensions", "--list-sessions"],
};

const OPENCODE: KindRule = {
  kind: "opencode",
  // The second: what its npm package puts in place of its launcher.
  programs: ["opencode", ".opencode"],
  packages: ["opencode-ai"],
  helpers: [
    "auth",
    "models",
    "providers",
    "upgrade",
    "uninstall",
    "mcp",
    "stats",
    "export",
    "import",
    "attach",
    "completion",
    "debug",
    "agent",
    "session",
    "db",
    "plugin",
    "plug",
  ],
};

const OPENHANDS: KindRule = {
  kind: "openhands",
  programs: ["openhands", "openhands-cli", "openhands-agent-server"],
  packages: ["openhands", "openhands-ai"],
  modules: [
    "openhands",
    "openhands.core.main",
    "openhands.core.cli",
    "openhands.cli.main",
    "openhands.cli.entry",
    "openhands.server",
    "openhands.agent_server",
    "openhands_cli",
    "openhands_cli.entrypoint",
  ],
  positions: [["uvicorn", /^openhands\.server\.listen:/]],
  // `serve` only starts a container, whose processes are found by themselves.
  helpers: ["serve", "login", "logout", "mcp", "update"],
};

const AIDER: KindRule = {
  kind: "aider",
  programs: ["aider"],
  packages: ["aider", "aider-chat"],
  modules: ["aider", "aider.main"],
  helperFlags: [
    "--version",
    "--help",
    "--models",
    "--list-models",
    "--upgrade",
    "--update",
    "--check-update",
    "--install-main-branch",
    "--shell-completions",
  ],
};

const GOOSE: KindRule = {
  kind: "goose",
  programs: ["goose", "goosed"],
  // A migration tool has the same name; its words (`up`, `postgres`, `-dir`) are none of these.
  runs: [
    "session",
    "s",
    "run",
    "r",
    "web",
    "acp",
    "serve",
    "project",
    "p",
    "projects",
    "agent",
    "term",
  ],
  subRuns: { session: ["resume"], s: ["resume"] },
};

const CLINE: KindRule = {
  kind: "cline",
  programs: ["cline", "cline-core"],
  scripts: ["cline-core.js"],
  packages: ["cline", "@cline/cli"],
  helpers: ["auth", "config", "instance", "i", "logs", "update", "dev", "doctor", "history", "mcp"],
};

const HERMES: KindRule = {
  kind: "hermes",
  // A JavaScript engine and a relayer have the same name.
  scripts: ["hermes", "hermes-agent", "hermes-acp", "hermes-gateway"],
  packages: ["hermes-agent"],
  modules: ["hermes_cli", "hermes_cli.main", "hermes_agent", "tui_gateway.entry"],
  subRuns: { gateway: ["run"] },
  helpers: [
    "setup",
    "config",
    "model",
    "auth",
    "login",
    "logout",
    "status",
    "doctor",
    "update",
    "uninstall",
    "tools",
    "skills",
    "plugins",
    "logs",
    "sessions",
    "mcp",
    "pairing",
    "completion",
    "cron",
    "insights",
  ],
};

const OPENCLAW: KindRule = {
  kind: "openclaw",
  // The second is the title of the long-lived process, the third what the kernel keeps of it.
  programs: ["openclaw", "openclaw-gateway", "openclaw-gatewa"],
  scripts: ["openclaw.mjs"],
  packages: ["openclaw"],
  runs: ["gateway", "agent", "acp", "node"],
  subRuns: { gateway: ["run"], node: ["run"] },
};

const COSH: KindRule = {
  kind: "cosh",
  programs: ["cosh", "copilot-shell", "os-copilot", "cosh-shell", "cosh-core", "cosh-cli"],
  // Too short a name for any other program.
  scripts: ["co"],
  packages: ["@anolisa/copilot-shell", "@os-copilot/copilot-shell"],
  helpers: ["mcp", "extensions", "extension", "auth"],
};

export const KIND_RULES: readonly KindRule[] = [
  CLAUDE_CODE,
  CODEX,
  GEMINI,
  OPENCODE,
  OPENHANDS,
  AIDER,
  GOOSE,
  CLINE,
  HERMES,
  OPENCLAW,
  COSH,
];
