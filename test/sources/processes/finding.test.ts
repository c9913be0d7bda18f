// Whose a process is: the top-most match, agents below agents, wrappers, orphans, programs that start late.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { newId } from "../../../src/core/ids.ts";
import { createKit, identityOf, type Kit, probeKernel, waitFor, sendLine } from "./kit.ts";

setDefaultTimeout(30_000);

const kernel = await probeKernel();

for (const connector of [true, false]) {
  describe.skipIf(connector && kernel.connector !== null)(
    `finding agents (process events: ${connector})`,
    () => {
      let kit: Kit;
      beforeAll(async () => {
        kit = await createKit({ connector });
      });
      afterAll(() => kit.stop());

      /** Pid of a program that writes it there. */
      const pidIn = (file: string): Promise<number> =>
        waitFor(`a pid in ${file}`, () => existsSync(file) && Number(readFileSync(file, "utf8")));
      const ownerOf = (pid: number): number | undefined => kit.source.registry.ofPid(pid)?.pid;

      test("a program of the same kind below an agent is part of it", async () => {
        const file = `${kit.directory}/${newId()}`;
        const inner = kit.program(`${kit.kind}-inner`, `echo $$ >${file}; read line; exit 0`);
        const outer = kit.spawn(`exec 3<&0; ${inner} <&3; exit 0`);
        await kit.started(outer.pid);
        const pid = await pidIn(file);
        await waitFor("the owner", () => ownerOf(pid) === outer.pid);
        await outer.stdin.end();
        await kit.exitOf(outer.pid);
        expect(kit.told(pid)).toEqual({ starts: 0, exits: 0 });
      });

      test("a program of another kind below an agent is an agent of its own", async () => {
        const file = `${kit.directory}/${newId()}`;
        const inner = kit.program("aider", `echo $$ >${file}; read line; exit 0`);
        const outer = kit.spawn(`exec 3<&0; ${inner} <&3; read line; exit 0`);
        const pid = await pidIn(file);
        expect(await kit.started(pid)).toMatchObject({ agent: "aider" });
        expect(ownerOf(pid)).toBe(pid);
        expect(ownerOf(outer.pid)).toBe(outer.pid);
        await outer.stdin.end();
        await Promise.all([kit.exitOf(outer.pid), kit.exitOf(pid)]);
        expect(kit.told(pid)).toEqual({ starts: 1, exits: 1 });
      });

      test("a wrapper that becomes its program stays one agent", async () => {
        const program = kit.program(`${kit.kind}-program`, "read line; exit 0");
        const wrapper = kit.spawn(`read line; exec ${program} --now`);
        await kit.started(wrapper.pid);
        await sendLine(wrapper);
        await waitFor("the command", () =>
          kit.source.registry.ofPid(wrapper.pid)?.command.endsWith("--now"),
        );
        await wrapper.stdin.end();
        await kit.exitOf(wrapper.pid);
        expect(kit.told(wrapper.pid)).toEqual({ starts: 1, exits: 1 });
      });

      test("a shell that becomes an agent later is found, with what it started before", async () => {
        const program = kit.program(`${kit.kind}-late`, "read line; exit 0");
        const file = `${kit.directory}/${newId()}`;
        const shell = Bun.spawn(
          ["sh", "-c", `sleep 30 & echo $! >${file}; read line; exec ${program}`],
          { stdio: ["pipe", "ignore", "ignore"] },
        );
        const sleeper = await pidIn(file);
        await Bun.sleep(450);
        expect(ownerOf(shell.pid)).toBeUndefined();
        await sendLine(shell);
        await kit.started(shell.pid);
        expect(ownerOf(sleeper)).toBe(shell.pid);
        expect(kit.source.registry.ofPid(process.pid)).toBeNull();
        process.kill(sleeper, "SIGKILL");
        await shell.stdin.end();
        await kit.exitOf(shell.pid);
      });

      test("one of its kind that outlives its agent goes on as one, with its session", async () => {
        const file = `${kit.directory}/${newId()}`;
        const inner = kit.program(
          `${kit.kind}-heir`,
          `echo $$ >${file}; while [ -e ${file} ]; do sleep 0.05; done; exit 0`,
        );
        const outer = kit.spawn(`${inner} & read line`, {
          env: { OBSERVER_SESSION_ID: "s-heir" },
        });
        await kit.started(outer.pid);
        const pid = await pidIn(file);
        await waitFor("the owner", () => ownerOf(pid) === outer.pid);
        // Seen by its own arguments, which the heir is known by.
        await Bun.sleep(450);
        outer.kill("SIGKILL");
        await kit.exitOf(outer.pid);
        expect(kit.told(pid)).toEqual({ starts: 0, exits: 0 });
        expect(await kit.started(pid)).toMatchObject({ sessionId: "s-heir", agent: kit.kind });
        rmSync(file);
        await kit.exitOf(pid);
        expect(kit.told(pid)).toEqual({ starts: 1, exits: 1 });
      });
    },
  );
}

describe("an agent as it is shown", () => {
  test("has its facts from the kernel, and no secret in its command", async () => {
    const kit = await createKit();
    try {
      const changes: string[] = [];
      const unsubscribe = kit.source.registry.onChange(({ kind, agent }) => {
        if (agent.kind === kit.kind) changes.push(kind);
      });
      const path = kit.program(`${kit.kind}-x`, "read line");
      const secret = `sk-ant-api03-${"a1B2c3D4".repeat(12)}`;
      const child = Bun.spawn([path, "--api-key", secret, "--name", "a\nb"], {
        stdio: ["pipe", "ignore", "ignore"],
        cwd: kit.directory,
      });
      const start = await kit.started(child.pid);
      const { startTicks } = identityOf(child.pid);
      const agent = kit.source.registry.get(`${child.pid}-${startTicks}`);
      expect(agent).toMatchObject({
        pid: child.pid,
        startTicks,
        kind: kit.kind,
        uid: process.getuid?.(),
        cwd: kit.directory,
        workspace: kit.directory,
        runId: null,
        ownCgroup: false,
      });
      expect(Math.abs((agent?.startedMs ?? 0) - Date.now())).toBeLessThan(30_000);
      expect(agent?.command).toContain("--name a\\nb");
      expect(agent?.command).not.toContain(secret);
      expect(start.data).toMatchObject({ cwd: kit.directory, start_ticks: startTicks });
      expect(start.id).toMatch(new RegExp(`^start:[0-9a-f]{8}:${child.pid}:${startTicks}$`));
      child.kill("SIGTERM");
      await kit.exitOf(child.pid);
      expect(changes).toEqual(["found", "gone"]);
      expect(kit.source.registry.get(agent?.id ?? "")).toBeNull();
      expect(kit.source.registry.ofPid(child.pid)?.id).toBe(agent?.id);
      expect(kit.metrics.get("observer_agents")).toBe(kit.source.registry.list().length);
      unsubscribe();
    } finally {
      await kit.stop();
    }
  });

  test("with finding switched off only runs are followed", async () => {
    const kit = await createKit({ enabled: false });
    try {
      const child = kit.spawn("read line; exit 6");
      await Bun.sleep(450);
      expect(kit.drafts).toEqual([]);
      await kit.source.adoptRun({
        ...identityOf(child.pid),
        runId: newId(),
        name: "mine",
        workspace: null,
        cgroups: null,
        callerUid: process.getuid?.() ?? 0,
      });
      await child.stdin.end();
      expect(await kit.exitOf(child.pid)).toMatchObject({ agent: "mine" });
    } finally {
      await kit.stop();
    }
  });
});
