// Processes by descriptor: how they ended, children or not.

import { describe, expect, test } from "bun:test";
import { closeSync, readFileSync } from "node:fs";
import { failedWith } from "../../src/kernel/libc.ts";
import { openPidfd, pidfdExit, signalPidfd } from "../../src/kernel/pidfd.ts";
import { decodeWaitStatus } from "../../src/kernel/structs/wait-status.ts";
import { until } from "../support/daemon.ts";

/** Linux 6.15 keeps the status of ended processes. */
const keepsStatus = await (async () => {
  const child = Bun.spawn(["sh", "-c", "exit 3"]);
  const fd = openPidfd(child.pid);
  await child.exited;
  const keeps = pidfdExit(fd) !== null;
  closeSync(fd);
  if (!keeps) console.log("skipped: exit statuses by pidfd need Linux 6.15");
  return keeps;
})();

const code = (run: () => unknown): string => {
  try {
    run();
    return "";
  } catch (thrown) {
    return thrown instanceof Error && "code" in thrown ? String(thrown.code) : String(thrown);
  }
};

describe("pidfdExit", () => {
  const ends: [string, object][] = [
    ["exit 0", { exitCode: 0, signal: null }],
    ["exit 255", { exitCode: 255, signal: null }],
    ...["HUP", "INT", "KILL", "TERM", "USR1"].map((name): [string, object] => [
      `kill -${name} $$`,
      { exitCode: null, signal: `SIG${name}` },
    ]),
    ["ulimit -c 0; kill -SEGV $$", { exitCode: null, signal: "SIGSEGV", coreDumped: false }],
  ];
  for (const [script, expected] of ends) {
    test.skipIf(!keepsStatus)(`tells "${script}" of a child`, async () => {
      const child = Bun.spawn(["sh", "-c", script], { stderr: "ignore" });
      const fd = openPidfd(child.pid);
      await child.exited;
      expect(decodeWaitStatus(pidfdExit(fd) ?? -1)).toMatchObject(expected);
      closeSync(fd);
    });
  }

  test.skipIf(!keepsStatus)("is null for a zombie, then tells a stranger's end", async () => {
    // The parent is not us and does not reap before it is told to.
    const script = "sleep 60 & echo $!; read go; wait $! 2>/dev/null; read end";
    const parent = Bun.spawn(["bash", "-c", script], { stdin: "pipe", stdout: "pipe" });
    const { value } = await parent.stdout.getReader().read();
    const pid = Number(new TextDecoder().decode(value));
    const fd = openPidfd(pid);
    signalPidfd(fd, 0);
    expect(pidfdExit(fd)).toBeNull();
    signalPidfd(fd, 9);
    void parent.stdin.write("go\n");
    await parent.stdin.flush();
    const status = await until("it is reaped", () => pidfdExit(fd) ?? undefined);
    expect(decodeWaitStatus(status)).toEqual({
      exitCode: null,
      signal: "SIGKILL",
      coreDumped: false,
    });
    expect(code(() => signalPidfd(fd, 9))).toBe("ESRCH");
    closeSync(fd);
    await parent.stdin.end();
    await parent.exited;
  });
});

describe("openPidfd", () => {
  test("names what is wrong", () => {
    const pidMax = Number(readFileSync("/proc/sys/kernel/pid_max", "latin1"));
    expect(code(() => openPidfd(pidMax + 1))).toBe("ESRCH");
    for (const pid of [0, -1]) expect(code(() => openPidfd(pid))).toBe("EINVAL");
    expect(code(() => pidfdExit(-1))).toBe("EBADF");
    expect(failedWith(new Error("plain"), "ESRCH")).toBe(false);
  });
});
