// The small parts of `observer run`: what was typed, what is started, what is ignored, what is found.

import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { parseCommand } from "../../../src/cli/flags.ts";
import type { RunOptions } from "../../../src/cli/local.ts";
import { ignoredSignals, launchCommand } from "../../../src/cli/offline/run/launch.ts";
import { findProgram } from "../../../src/cli/offline/run/program.ts";
import { runVerb } from "../../../src/cli/verbs/run.ts";
import { inForeground } from "../../../src/kernel/terminal.ts";
import { withTempDirectory } from "../../support/temp-directory.ts";
import { run } from "../run-cli.ts";

describe("what was typed", () => {
  const parse = (...argv: string[]) => parseCommand(argv, runVerb);

  test("flags end at --, or at the first word that belongs to none", () => {
    for (const argv of [
      ["--name", "x", "--", "claude", "--help"],
      ["--name", "x", "claude", "--help"],
      ["--name=x", "claude", "--help"],
    ]) {
      const { flags, args, problems, help } = parse(...argv);
      expect([flags.text("name"), args, problems, help]).toEqual([
        "x",
        ["claude", "--help"],
        [],
        false,
      ]);
    }
    expect(parse("--help").help).toBe(true);
    expect(parse("--name", "--", "x").problems[0]?.rule).toContain("needs a value");
    expect(parse("--nam", "x", "y").problems[0]?.meant).toBe("--name");
    expect(parse("--quiet").problems[0]).toEqual({ field: "CMD", rule: "is missing" });
  });

  test("whatever follows -- is CMD, unchanged", () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { minLength: 1 }), (words) => {
        const { args, problems } = parse("--quiet", "--", ...words);
        expect(args).toEqual(words);
        expect(problems).toEqual([]);
      }),
    );
  });

  test("becomes options; flags of later versions are taken and said to do nothing", async () => {
    const seen: RunOptions[] = [];
    const local = { run: async (options: RunOptions) => seen.push(options) * 0 + 42 };
    const ran = await run(
      ["run", "--memory-max", "4G", "--max-cost", "10", "--dry-run", "--data", "d", "claude", "-p"],
      { local },
    );
    expect(ran.status).toBe(42);
    expect(ran.err).toContain("without effect in this version: --max-cost, --dry-run");
    expect(seen[0]).toMatchObject({
      command: ["claude", "-p"],
      memoryLimitBytes: 4 * 1024 ** 3,
      name: null,
      where: { data: "d" },
    });
  });
});

describe("launchCommand", () => {
  const launch = { command: ["x", "y"], variables: { A: "1" }, ignored: [], env: "/usr/bin/env" };
  const plain = ["/usr/bin/env", "-u", "BUN_OPTIONS", "-u", "BUN_BE_BUN", "A=1"];

  test("puts env in front, and a shell only where something needs one", () => {
    expect(launchCommand(launch)).toEqual([...plain, "x", "y"]);
    const shell = [...plain, "/bin/sh", "-c"];
    expect(launchCommand({ ...launch, command: ["a=b"] })).toEqual([
      ...shell,
      'exec "$@"',
      "sh",
      "a=b",
    ]);
    expect(launchCommand({ ...launch, ignored: [1, 2] })).toEqual([
      ...shell,
      "trap '' 1 2; exec \"$@\"",
      "sh",
      "x",
      "y",
    ]);
  });

  test("ignoredSignals reads the mask, without what bun ignores for itself", () => {
    expect(ignoredSignals("SigIgn:\t0000000000000001\n")).toEqual([1]);
    expect(ignoredSignals("SigBlk:\t3\nSigIgn:\t0000000001001006\nSigCgt:\t0\n")).toEqual([2, 3]);
    expect(ignoredSignals("")).toEqual([]);
  });
});

describe("findProgram", () => {
  test("finds what a shell would find, and says 126 or 127 otherwise", () =>
    withTempDirectory((directory) => {
      const [first, second] = [join(directory, "a"), join(directory, "b")];
      mkdirSync(first);
      mkdirSync(second);
      writeFileSync(join(first, "tool"), "", { mode: 0o644 });
      writeFileSync(join(second, "tool"), "", { mode: 0o755 });
      writeFileSync(join(first, "plain"), "", { mode: 0o644 });
      mkdirSync(join(first, "folder"));
      const find = (name: string, path = `${first}:${second}:/absent`) =>
        findProgram(name, { cwd: directory, path });
      expect(find("tool")).toEqual({ path: join(second, "tool") });
      expect(find("tool", "b")).toEqual({ path: join(second, "tool") });
      expect(find("./b/tool")).toEqual({ path: join(second, "tool") });
      expect(find("plain")).toEqual({ status: 126, reason: "permission denied" });
      expect(find("folder")).toEqual({ status: 126, reason: "is a directory" });
      expect(find("nothing")).toEqual({ status: 127, reason: "command not found" });
      expect(find("")).toEqual({ status: 127, reason: "command not found" });
      expect(find("./nothing")).toEqual({ status: 127, reason: "no such file" });
    }));
});

describe("inForeground", () => {
  test("compares the group with the terminal's, whatever the command is called", () => {
    const stat = (comm: string, group: number, foreground: number) =>
      `7 (${comm}) S 1 ${group} 5 34816 ${foreground} 4194304 1 2 3`;
    expect(inForeground(stat("observer", 7, 7))).toBe(true);
    expect(inForeground(stat("a) S 9 (b", 7, 7))).toBe(true);
    expect(inForeground(stat("observer", 7, 8))).toBe(false);
    expect(inForeground(stat("observer", 7, -1))).toBe(false);
    expect(inForeground("")).toBe(false);
  });
});
