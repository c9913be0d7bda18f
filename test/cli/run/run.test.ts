// `observer run` with real processes: exit status, streams, environment, signals, terminal.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasPty, onPty } from "../../support/pty.ts";
import { until } from "../../support/daemon.ts";
import { commandOf, createRoom, run, startRun } from "./kit.ts";

describe("exit status", () => {
  test("is CMD's, 128+n for a signal, and nothing is written to stdout beside it", async () => {
    using room = createRoom();
    for (const [script, status] of [
      ["exit 0", 0],
      ["exit 3", 3],
      ["kill -SEGV $$", 139],
      ["kill -KILL $$", 137],
      ["kill -TERM $$", 143],
    ] as const) {
      const ran = await run(room, ["--", "sh", "-c", script]);
      expect([script, ran.status, ran.text]).toEqual([script, status, ""]);
    }
  });

  test("is 127 for a command that is not there, 126 for one that cannot be executed", async () => {
    using room = createRoom();
    const plain = join(room.work, "plain");
    writeFileSync(plain, "echo no\n", { mode: 0o644 });
    for (const [command, status] of [
      ["no-such-command-anywhere", 127],
      ["./absent", 127],
      ["./plain", 126],
      [room.work, 126],
    ] as const) {
      const ran = await run(room, ["--quiet", "--", command]);
      expect([command, ran.status]).toEqual([command, status]);
      expect(ran.err).toContain(command);
    }
    // As every shell does, a file without an interpreter line is run by sh.
    chmodSync(plain, 0o755);
    expect((await run(room, ["--quiet", "--", "./plain"])).text).toBe("no\n");
  });

  test("is 2 for wrong usage, with every problem named, and CMD is not started", async () => {
    using room = createRoom();
    const ran = await run(room, ["--memory-max", "1K", "--name", "a b", "--", "echo", "started"]);
    expect(ran.status).toBe(2);
    expect(ran.err).toContain("--memory-max");
    expect(ran.err).toContain("--name");
    expect(ran.text).toBe("");
    expect((await run(room, ["--quiet"])).err).toContain("CMD: is missing");
  });
});

describe("what CMD gets", () => {
  test("stdin and stdout pass through, byte by byte", async () => {
    using room = createRoom();
    const bytes = crypto.getRandomValues(new Uint8Array(64 * 1024));
    const stdin = new Uint8Array(1024 * 1024);
    for (let at = 0; at < stdin.length; at += bytes.length) stdin.set(bytes, at);
    const ran = await run(room, ["--quiet", "--", "cat"], { stdin });
    expect(ran.status).toBe(0);
    expect(Buffer.compare(ran.out, stdin)).toBe(0);
  });

  test("its arguments, empty ones and flags too, with and without --", async () => {
    using room = createRoom();
    const script = 'for word; do printf "[%s]" "$word"; done';
    const args = ["sh", "-c", script, "sh", "", "--help", "-x", "a b", "--", "--name"];
    const expected = "[][--help][-x][a b][--][--name]";
    expect((await run(room, ["--quiet", "--", ...args])).text).toBe(expected);
    expect((await run(room, ["--quiet", ...args])).text).toBe(expected);
  });

  test("its environment, and the variables of the run; bun's own are taken out", async () => {
    using room = createRoom();
    const env = {
      BUN_OPTIONS: "--smol",
      BUN_BE_BUN: "",
      ODD: "a\nb=c",
      OBSERVER_URL: "http://[::1]:9",
    };
    const ran = await run(room, ["--quiet", "--", "env", "-0"], { env });
    const seen = new Map(
      ran.text.split("\0").map((line): [string, string] => {
        const at = line.indexOf("=");
        return [line.slice(0, at), line.slice(at + 1)];
      }),
    );
    expect(seen.get("ODD")).toBe("a\nb=c");
    expect(seen.get("HOME")).toBe(room.env["HOME"]);
    expect(seen.has("BUN_OPTIONS")).toBe(false);
    expect(seen.has("BUN_BE_BUN")).toBe(false);
    expect(seen.get("OBSERVER_SESSION_ID")).toBe(`run-${seen.get("OBSERVER_RUN_ID")}`);
    expect(seen.get("OBSERVER_URL")).toBe("http://[::1]:9");
  });

  test("a variable that is no UTF-8, and a program whose name looks like a variable", async () => {
    using room = createRoom();
    writeFileSync(join(room.work, "a=b"), '#!/bin/sh\nprintf "%s" "$BAD" | od -An -tx1\n', {
      mode: 0o755,
    });
    const before = ["sh", "-c", 'BAD=$(printf "\\377x"); export BAD; exec "$@"', "sh"];
    const ran = await run(room, ["--quiet", "--", "./a=b"], { before });
    expect(ran.text.trim()).toBe("ff 78");
  });

  test("signals that were ignored stay ignored, as under nohup", async () => {
    using room = createRoom();
    const before = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"];
    const cat = ["--quiet", "--", "sh", "-c", "kill -HUP $$; echo alive"];
    expect((await run(room, cat, { before })).text).toBe("alive\n");
    expect((await run(room, cat)).status).toBe(129);
  });
});

describe("signals", () => {
  test("that observer run gets reach CMD, which decides what becomes of it", async () => {
    using room = createRoom();
    const script =
      'trap "echo usr1" USR1; trap "echo hup" HUP; trap "echo int" INT; trap "echo term; exit 9" TERM;' +
      "echo ready; while :; do sleep 0.02; done";
    const child = startRun(room, ["--quiet", "--", "sh", "-c", script]);
    let seen = "";
    const drained = (async () => {
      for await (const chunk of child.stdout) seen += new TextDecoder().decode(chunk);
    })();
    for (const [signal, word] of [
      [null, "ready"],
      ["SIGUSR1", "usr1"],
      ["SIGHUP", "hup"],
      ["SIGINT", "int"],
      ["SIGTERM", "term"],
    ] as const) {
      if (signal) child.kill(signal);
      await until(`CMD says ${word}`, () => seen.includes(word));
    }
    expect(await child.exited).toBe(9);
    await drained;
    expect(seen.split("\n").filter((line) => line === "int")).toHaveLength(1);
  });
});

const COUNTER = `
import os, signal, sys
def say(*words): os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def told(number, _):
    size = os.get_terminal_size()
    say("GOT", signal.Signals(number).name, size.lines, size.columns)
for number in (signal.SIGINT, signal.SIGWINCH): signal.signal(number, told)
say("READY", os.isatty(0), os.isatty(1), os.tcgetpgrp(0) == os.getpgrp())
for line in sys.stdin:
    say("LINE", line.strip())
    if line.strip() == "end": sys.exit(7)
`;

// Programs are started, which takes seconds on a machine that is busy with other tests.
setDefaultTimeout(60_000);

describe.skipIf(!hasPty())("on a terminal", () => {
  test("Ctrl-C reaches CMD once, a resize too, and what is typed is read by CMD alone", async () => {
    using room = createRoom();
    const { out, status } = await onPty(
      commandOf(room, ["--quiet", "--", "python3", "-c", COUNTER]),
      {
        cwd: room.work,
        env: room.env,
        steps: [
          ["expect", "READY True True True"],
          ["send", "\u0003"],
          ["expect", "GOT SIGINT"],
          ["wait", 300],
          ["resize", 50, 120],
          ["expect", "GOT SIGWINCH 50 120"],
          ["send", "hello\n"],
          ["expect", "LINE hello"],
          ["send", "end\n"],
        ],
      },
    );
    expect(status).toBe(7);
    expect(out.match(/GOT SIGINT/g)).toHaveLength(1);
  });

  test("CMD that dies of Ctrl-C ends the run with 130", async () => {
    using room = createRoom();
    const { status } = await onPty(
      commandOf(room, ["--quiet", "--", "sh", "-c", "echo UP; sleep 60"]),
      {
        cwd: room.work,
        env: room.env,
        steps: [
          ["expect", "UP"],
          ["send", "\u0003"],
        ],
      },
    );
    expect(status).toBe(130);
  });
});
