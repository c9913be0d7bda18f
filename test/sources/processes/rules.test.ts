// Which command lines are agents: a table, both ways.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { ObserverError } from "../../../src/core/errors.ts";
import { invocationsOf } from "../../../src/sources/processes/command.ts";
import { parseUserRules, recognise } from "../../../src/sources/processes/rules.ts";

interface More {
  comm?: string;
  exe?: string;
  rules?: string[];
}

/** Arguments are words of the text; a row that needs others gives a list. */
function kindOf(command: string | string[], more: More = {}): string | null {
  const argv = typeof command === "string" ? command.split(" ") : command;
  return recognise(
    { argv, comm: () => more.comm ?? "", exe: () => more.exe ?? null },
    parseUserRules(more.rules ?? []),
  );
}

type Row = [string | string[], More?];

const GLOBAL = "/usr/lib/node_modules";

const AGENTS: Record<string, Row[]> = {
  "claude-code": [
    ["claude"],
    ["/home/u/.local/bin/claude --model opus"],
    [["claude", "-p", "explain what --version and mcp serve do"]],
    ["claude --dangerously-skip-permissions"],
    ["claude --resume 1c0f"],
    ["claude remote-control"],
    [`node ${GLOBAL}/@anthropic-ai/claude-code/cli.js`],
    [`node --max-old-space-size=4096 ${GLOBAL}/@anthropic-ai/claude-code/cli.js -p x`],
    [`/usr/bin/node -r /x/hook.js --import y.mjs ${GLOBAL}/@anthropic-ai/claude-code/cli.js`],
    ["node /usr/bin/claude"],
    ["nodejs -- /usr/local/bin/claude --continue"],
    ["bun /home/u/.bun/bin/claude"],
    ["bun run /home/u/.bun/bin/claude"],
    ["bun --cwd /srv run claude"],
    [
      `node /p/node_modules/.pnpm/@anthropic-ai+claude-code@2.1.3/node_modules/@anthropic-ai/claude-code/cli.js`,
    ],
    [`node /app/node_modules/@anthropic-ai/claude-agent-sdk/cli.js --output-format stream-json`],
    [
      "/home/u/.vscode/extensions/anthropic.claude-code-2.1.9-linux-x64/resources/native-binary/claude --output-format stream-json",
    ],
    ["npx -y @anthropic-ai/claude-code@latest"],
    ["npx --package=@x/y -- @anthropic-ai/claude-code"],
    ["npm exec @anthropic-ai/claude-code"],
    [["npm exec @anthropic-ai/claude-code@2.1", "", "", ""]],
    ["node /usr/lib/node_modules/npm/bin/npx-cli.js @anthropic-ai/claude-code"],
    ["bunx @anthropic-ai/claude-code -p x"],
    ["bun x @anthropic-ai/claude-code"],
    ["pnpm dlx @anthropic-ai/claude-code"],
    ["deno run -A npm:@anthropic-ai/claude-code@2.1.0/cli.js"],
    ["/bin/sh /usr/local/bin/claude -p x"],
    ["bash -e /usr/local/bin/claude"],
    ["-claude"],
    // The process wrote its title over its arguments.
    [["claude", "", "", ""]],
    ["2.1.201 --resume x", { exe: "/home/u/.local/share/claude/versions/2.1.201" }],
    ["/h/.local/share/claude/versions/2.1.201", { exe: "/h/.local/share/claude/versions/2.1.201" }],
    ["/nix/store/x-claude/bin/.claude-unwrapped"],
  ],
  codex: [
    ["codex"],
    [["codex", "exec", "fix the login"]],
    ["codex -c model=x --profile fast resume --last"],
    ["codex app-server"],
    ["codex --config mcp.x=1 app-server"],
    [`node ${GLOBAL}/@openai/codex/bin/codex.js`],
    [`${GLOBAL}/@openai/codex/vendor/x86_64-unknown-linux-musl/codex/codex exec x`],
    ["npx @openai/codex exec x"],
    ["codex-exec x"],
  ],
  gemini: [
    ["node --no-warnings=DEP0040 /usr/bin/gemini"],
    [`node --max-old-space-size=8192 ${GLOBAL}/@google/gemini-cli/dist/index.js -p x`],
    ["npx @google/gemini-cli"],
  ],
  opencode: [
    ["opencode"],
    ["opencode run fix"],
    ["opencode serve --port 4096"],
    ["/home/u/.opencode/bin/opencode"],
    [`node ${GLOBAL}/opencode-ai/bin/opencode`],
    [`${GLOBAL}/opencode-linux-x64/bin/opencode`],
    [`${GLOBAL}/opencode-ai/bin/.opencode`],
    ["bunx opencode-ai@latest"],
  ],
  openhands: [
    ["openhands"],
    ["python -m openhands.core.main -t x"],
    ["/venv/bin/python3.12 -u -m openhands.agent_server --port 8000"],
    ["uvx --python 3.12 openhands"],
    ["uvicorn openhands.server.listen:app --port 3000"],
  ],
  aider: [
    ["python3 -m aider"],
    ["python3 -Im aider.main --model x"],
    ["/home/u/.local/share/uv/tools/aider-chat/bin/python /home/u/.local/bin/aider --yes a.py"],
    ["/usr/bin/python3.11 -X utf8 -W ignore /home/u/.local/bin/aider"],
    ["uv run aider"],
    ["uv run --with boto3 -m aider"],
    ["uv tool run --from aider-chat aider"],
    ["pipx run aider-chat"],
    ["aider -v src/x.py"],
  ],
  goose: [
    ["goose"],
    ["goose session"],
    ["goose session --resume"],
    ["goose run -i plan.txt"],
    ["/opt/goosed agent"],
  ],
  cline: [
    ["node /usr/bin/cline"],
    [`node ${GLOBAL}/cline/dist/cli.mjs task`],
    [`node ${GLOBAL}/cline/cline-core.js --port 26040`],
    ["/plugins/cline/core/1.1.19/node /plugins/cline/core/1.1.19/cline-core.js"],
  ],
  hermes: [
    ["/home/u/.hermes/venv/bin/python3 /home/u/.hermes/bin/hermes chat"],
    ["python -m hermes_cli.main gateway run"],
    ["python -m tui_gateway.entry"],
    ["python3 /x/hermes-gateway"],
    [["hermes", ""], { exe: "/usr/bin/python3.11" }],
    [["hermes: gateway", ""], { comm: "hermes", exe: "/usr/bin/python3.11" }],
  ],
  openclaw: [
    [["openclaw-gateway", "", ""]],
    [["openclaw", ""]],
    [`node ${GLOBAL}/openclaw/dist/index.js gateway --port 18789`],
    [`node ${GLOBAL}/openclaw/openclaw.mjs gateway run`],
    ["openclaw agent --message x"],
  ],
  cosh: [
    ["node /usr/bin/co"],
    ["node /usr/bin/cosh"],
    ["copilot-shell"],
    ["/usr/bin/cosh-core --session 1"],
    [`node ${GLOBAL}/@anolisa/copilot-shell/cli.js`],
  ],
  "my-agent": [
    ["python3 -m my_agent --x", { rules: ["my-agent=python3 -m my_agent"] }],
    ["/srv/bot-7 serve prod", { rules: ["my-agent=bot-* serve"] }],
    ["/srv/a/run", { rules: ["my-agent=/srv/*/run"] }],
    ["node /srv/bot.js --fast", { rules: ["my-agent=bot.js --*"] }],
    // The user's rules come first.
    ["claude --work", { rules: ["my-agent=claude --work"] }],
  ],
};

const OTHERS: Row[] = [
  ["vim claude.md"],
  ["grep claude"],
  ["grep -r codex /usr/bin/claude"],
  ["tail -f /home/u/.claude/projects/x.jsonl"],
  ["cat codex"],
  ["less /usr/bin/claude"],
  ["git clone https://github.com/anthropics/claude-code"],
  ["node server.js --agent claude"],
  ["node server.js claude"],
  ["node -e require('claude')"],
  ["node --eval x claude"],
  ["node --test claude"],
  ["node - claude"],
  ["node --version"],
  ["python3 -c import aider"],
  ["python3 -m pip install aider"],
  ["python3 -m http.server aider"],
  ["python3 build.py aider"],
  ["pip install aider-chat"],
  ["npm install -g @openai/codex"],
  ["npm run claude"],
  ["bun install @anthropic-ai/claude-code"],
  ["bun test claude"],
  ["npx tsc --project claude"],
  ["npx -c claude"],
  ["uv pip install aider-chat"],
  ["uv run pytest aider"],
  [["sh", "-c", "claude -p x"]],
  [["bash", "-lc", "codex exec y"]],
  ["bash -s claude"],
  ["bash /srv/claude.sh"],
  ["sudo -u dev claude"],
  ["timeout 60 claude"],
  ["docker run -it claude claude"],
  ["tmux new -s claude"],
  ["ssh host claude"],
  ["strace -f claude"],
  ["man claude"],
  ["claude-desktop"],
  ["claudette"],
  ["my-claude"],
  ["/opt/Claude/claude --type=renderer --lang=en"],
  ["claude --version"],
  ["claude -v"],
  ["claude --help"],
  ["claude mcp serve"],
  ["claude --debug mcp serve"],
  ["claude mcp list"],
  ["claude doctor"],
  ["claude update"],
  ["claude config get x"],
  ["claude --chrome-native-host"],
  [
    "/h/.local/share/claude/versions/2.1.201 --bg-spare /tmp/x.sock",
    { exe: "/h/.local/share/claude/versions/2.1.201" },
  ],
  // Claude Code's own file holds other tools, told apart by argv[0].
  ["rg --files", { exe: "/h/.local/share/claude/versions/2.1.201" }],
  [`${GLOBAL}/@anthropic-ai/claude-code/vendor/ripgrep/x64-linux/rg x`],
  [`${GLOBAL}/@openai/codex/vendor/x86_64-unknown-linux-musl/path/rg x`],
  [`node ${GLOBAL}/@anthropic-ai/claude-code/install.cjs`],
  [`node ${GLOBAL}/@anthropic-ai/claude-code/node_modules/sharp/install/check.js`],
  [`node ${GLOBAL}/@modelcontextprotocol/server-filesystem/dist/index.js /home/u/claude`],
  ["node /usr/share/code/typescript-language-server/lib/cli.mjs --stdio"],
  ["/home/u/.vscode/extensions/openai.chatgpt-1/bin/linux-x86_64/codex mcp-server"],
  ["codex --version"],
  ["codex login"],
  ["codex -c x=1 mcp-server"],
  ["codex exec --help"],
  ["codex completion bash"],
  ["codex sandbox linux ls"],
  ["codex-linux-sandbox --x"],
  ["gemini --version"],
  ["gemini mcp list"],
  ["gemini extensions update"],
  ["opencode auth login"],
  ["opencode models"],
  ["opencode --help"],
  ["openhands serve"],
  ["python -m openhands.runtime.action_execution_server 1"],
  ["uvicorn app.main:app openhands.server.listen:app"],
  ["aider --help"],
  ["aider --models claude"],
  ["goose up"],
  ["goose postgres postgres://x up"],
  ["goose -dir db/migrations postgres x status"],
  ["goose configure"],
  ["goose session list"],
  ["cline auth"],
  ["cline-host --port 1"],
  ["hermes start"],
  ["hermes bundle.hbc"],
  [["hermes", "-O", "x.js"], { exe: "/usr/bin/hermes" }],
  ["python3 /x/hermes gateway status"],
  ["python3 /x/hermes config"],
  ["openclaw gateway status"],
  ["openclaw-tui"],
  ["openclaw doctor"],
  ["co -l RCS/x"],
  // The name that the kernel keeps does not count while the arguments speak.
  ["node /srv/server.js", { comm: "claude", exe: "/usr/bin/node" }],
  [["worker: claude", ""], { comm: "nginx", exe: "/usr/sbin/nginx" }],
  [[]],
  [[""]],
  [["", ""]],
  ["python3 -m my_agent", { rules: ["my-agent=python3 -m other"] }],
  ["python3", { rules: ["my-agent=python3 -m my_agent"] }],
  ["x my-bot", { rules: ["my-agent=my-bot"] }],
  ["my-bottle", { rules: ["my-agent=my-bot"] }],
];

const named = (command: string | string[]): string =>
  typeof command === "string" ? command : JSON.stringify(command);

describe("recognise: an agent", () => {
  for (const [kind, rows] of Object.entries(AGENTS)) {
    for (const [command, more] of rows) {
      test(`${kind}: ${named(command)}`, () => {
        expect(kindOf(command, more)).toBe(kind);
      });
    }
  }
});

describe("recognise: no agent", () => {
  for (const [command, more] of OTHERS) {
    test(named(command), () => {
      expect(kindOf(command, more)).toBeNull();
    });
  }

  test("a process whose command line cannot be read", () => {
    expect(recognise({ argv: null, comm: () => "claude", exe: () => null }, [])).toBeNull();
  });
});

describe("invocationsOf", () => {
  test("takes any argument list without throwing, and ends", () => {
    const word = fc.oneof(
      fc.string(),
      fc.constantFrom(
        "node",
        "python3",
        "uv",
        "run",
        "npx",
        "bun",
        "sh",
        "-m",
        "-c",
        "--",
        "-y",
        "x",
      ),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 8 }), (argv) => {
        expect(invocationsOf(argv).length).toBeLessThanOrEqual(5);
        recognise({ argv, comm: () => "", exe: () => null }, parseUserRules(["a=b* c"]));
      }),
    );
  });

  test("an argument that only holds an agent's name never makes one", () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[a-z]{3,8}$/),
        fc.stringMatching(/^[a-z.-]{1,8}$/),
        (one, two) => {
          fc.pre(
            ![
              "node",
              "bun",
              "deno",
              "npx",
              "bunx",
              "uvx",
              "tsx",
              "zsh",
              "ksh",
              "ash",
              "bash",
              "dash",
              "pypy",
              "python",
              "goose",
              "codex",
              "aider",
              "cline",
            ].includes(one),
          );
          expect(kindOf([one, `${two}claude`, "claude", "codex"])).toBeNull();
        },
      ),
    );
  });
});

describe("parseUserRules", () => {
  test("names every rule that it cannot read", () => {
    const parse = (): unknown => parseUserRules(["ok=x", "bad", "=x", "k=", "k=*", "a b=x"]);
    expect(parse).toThrow(ObserverError);
    expect(parse).toThrow(/"bad".*"=x".*"k=".*"k=\*".*"a b=x"/s);
  });

  test("takes every other character of a pattern as itself", () => {
    expect(kindOf("a+b (x)", { rules: ["k=a+b (x)"] })).toBe("k");
    expect(kindOf("aab (x)", { rules: ["k=a+b (x)"] })).toBeNull();
  });
});
