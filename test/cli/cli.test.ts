// The command line as a whole: verbs found, usage explained, help within a terminal, exit statuses.

import { describe, expect, test } from "bun:test";
import { createServer } from "node:net";
import { VERBS, VERBS_LATER } from "../../src/cli/verbs.ts";
import { run } from "./run-cli.ts";

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}

function widest(text: string): number {
  return Math.max(...text.split("\n").map((line) => Bun.stringWidth(line)));
}

describe("runCli", () => {
  test("suggests the verb that a typo meant, with status 2", async () => {
    const ran = await run(["stauts"]);
    expect(ran.status).toBe(2);
    expect(ran.err).toContain("did you mean status?");
    expect(ran.out).toBe("");
  });

  test("suggests within a family, and lists the family", async () => {
    const ran = await run(["checkpoint", "craete"]);
    expect(ran.status).toBe(2);
    expect(ran.err).toContain("did you mean checkpoint create?");
    expect((await run(["checkpoint"])).err).toContain("needs one of create, list, show");
  });

  test("does not guess at words that are far from every verb", async () => {
    const ran = await run(["xylophone"]);
    expect(ran.err).toContain('"xylophone": is unknown');
    expect(ran.err).not.toContain("did you mean");
  });

  test("reports every problem at once: field, value, rule, nearest name", async () => {
    const ran = await run([
      "checkpoint",
      "restore",
      "NOT AN ID",
      "extra",
      "--yess",
      "--json=1",
      "--path",
    ]);
    expect(ran.status).toBe(2);
    expect(ran.err).toContain("--yess: is not a flag of this command; did you mean --yes?");
    expect(ran.err).toContain('--json "1": takes no value');
    expect(ran.err).toContain("--path: needs a value");
    expect(ran.err).toContain('ID "NOT AN ID": must be an id');
    expect(ran.err).toContain('argument "extra": is not expected here');
    expect(ran.err).toContain("--yes: is needed where nobody can be asked");
  });

  test("checks values of list flags", async () => {
    const ran = await run([
      "events",
      "--limit",
      "0",
      "--since",
      "yesterday-ish",
      "--kind",
      "tool_cal",
      "--filter",
      "x",
    ]);
    expect(ran.status).toBe(2);
    expect(ran.err).toContain('--limit "0": must be a whole number from 1 to 1000');
    expect(ran.err).toContain('--since "yesterday-ish": must be a duration');
    expect(ran.err).toContain("did you mean tool_call?");
    expect(ran.err).toContain('--filter "x": must be FIELD=VALUE');
  });

  test("escapes control characters of what was typed", async () => {
    const ran = await run(["\u001b[31mx"]);
    expect(ran.err).not.toContain("\u001b");
    expect(ran.err).toContain("\\x1b");
  });

  test("says of every later verb that it is not in this version yet", async () => {
    for (const name of VERBS_LATER) {
      const ran = await run(name.split(" "));
      expect(ran.err).toContain("is not in this version yet");
      // A vendor's hook reads status 2 as "deny"; a missing feature must never do that.
      expect(ran.status).toBe(name === "hook" ? 0 : 2);
    }
  });

  test("hands flags without a verb, and those of serve, to serve unread", async () => {
    const seen: string[][] = [];
    const local = { serve: (argv: string[]) => Promise.resolve(seen.push(argv) * 0) };
    expect((await run(["--port", "3801", "--wrong"], { local })).status).toBe(0);
    expect((await run(["serve", "--reactive"], { local })).status).toBe(0);
    expect((await run([], { local })).status).toBe(0);
    expect(seen).toEqual([["--port", "3801", "--wrong"], ["--reactive"], []]);
  });

  test("help lists every verb in a group, on standard output, within 80 columns", async () => {
    const ran = await run(["--help"]);
    expect(ran.status).toBe(0);
    for (const verb of VERBS) expect(ran.out).toContain(`  ${verb.name} `);
    expect(widest(ran.out)).toBeLessThanOrEqual(80);
    expect((await run(["help"])).out).toBe(ran.out);
  });

  test("help of each verb names its flags and shows examples, within 80 columns", async () => {
    for (const verb of VERBS) {
      const ran = await run([...verb.name.split(" "), "--help"]);
      expect(ran.status).toBe(0);
      for (const flag of verb.flags) expect(ran.out).toContain(`--${flag.name}`);
      expect(ran.out).toContain("Examples");
      expect(widest(ran.out)).toBeLessThanOrEqual(80);
    }
    expect((await run(["checkpoint", "--help"])).out).toContain("checkpoint restore");
  });

  test("colours only where colour is allowed", async () => {
    expect((await run(["--help"], { colour: true })).out).toContain("\u001b[");
    expect((await run(["--help"])).out).not.toContain("\u001b[");
  });

  test("ends with 3 and the command that starts it when no daemon answers", async () => {
    const port = String(await freePort());
    for (const argv of [["status"], ["events"], ["open"], ["checkpoint", "list"]]) {
      const ran = await run(argv, { env: { OBSERVER_PORT: port, HOME: "/nonexistent" } });
      expect(ran.status).toBe(3);
      expect(ran.err).toContain(`no observer answers at http://127.0.0.1:${port}`);
      expect(ran.err).toContain("start it with: observer");
      expect(ran.out).toBe("");
    }
  });

  test("version works without a daemon, as text and as JSON", async () => {
    expect((await run(["version"])).out).toMatch(/^observer \S+ \(/);
    const { version, commit, bun, platform } = JSON.parse((await run(["version", "--json"])).out);
    expect([version, commit, bun, platform].every((text) => typeof text === "string")).toBe(true);
    expect((await run(["--version"])).out).toBe((await run(["version"])).out);
  });
});

describe("completion", () => {
  test("every shell's script knows every verb and flag", async () => {
    for (const shell of ["bash", "zsh", "fish"]) {
      const { out, status } = await run(["completion", shell]);
      expect(status).toBe(0);
      for (const verb of VERBS) {
        for (const word of verb.name.split(" ")) expect(out).toContain(word);
        for (const flag of verb.flags) expect(out).toContain(flag.name);
      }
    }
    expect((await run(["completion", "tcsh"])).status).toBe(2);
  });

  test("the bash script completes verbs, families, flags and values", async () => {
    const { out } = await run(["completion", "bash"]);
    const complete = (...words: string[]): string[] => {
      const script = `${out}
COMP_WORDS=("$@"); COMP_CWORD=$((\${#COMP_WORDS[@]}-1)); _observer; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const result = Bun.spawnSync(["bash", "-c", script, "bash", "observer", ...words]);
      expect(result.stderr.toString()).toBe("");
      return result.stdout.toString().trim().split("\n");
    };
    expect(complete("sta")).toEqual(["status", "stats"]);
    expect(complete("checkpoint", "re")).toEqual(["restore"]);
    expect(complete("checkpoint", "restore", "x", "--fr")).toEqual(["--freeze"]);
    expect(complete("interruptions", "--severity", "cr")).toEqual(["critical"]);
    expect(complete("completion", "z")).toEqual(["zsh"]);
  });
});
