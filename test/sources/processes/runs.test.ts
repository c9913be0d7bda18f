// What `observer run` registers: what is believed, what is refused and why.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { newId } from "../../../src/core/ids.ts";
import { cgroupsOf, findCgroupMounts } from "../../../src/kernel/cgroup.ts";
import { mayWrite } from "../../../src/kernel/cgroup-delegation.ts";
import { removeTree } from "../../../src/kernel/cgroup-tree.ts";
import { ownDirectories } from "../../../src/sources/processes/record.ts";
import type { AdoptRequest } from "../../../src/sources/processes/runs.ts";
import { createKit, identityOf, interruptionsOf, type Kit, sendLine, waitFor } from "./kit.ts";

setDefaultTimeout(30_000);

const uid = process.getuid?.() ?? 0;
const PARENT = `observer-${newId().slice(0, 8)}`;

let kit: Kit;
beforeAll(async () => {
  kit = await createKit({ cgroupParent: PARENT });
});
afterAll(() => kit.stop());

/** A program that no rule knows, as `observer run` starts it. */
function spawnProgram(script: string) {
  const path = kit.program(`any-${newId()}`, script);
  return Bun.spawn([path], { stdio: ["pipe", "ignore", "ignore"], cwd: kit.directory });
}

const claimOf = (pid: number, more: Partial<AdoptRequest> = {}): AdoptRequest => ({
  ...identityOf(pid),
  runId: newId(),
  name: null,
  workspace: kit.directory,
  cgroups: null,
  callerUid: uid,
  ...more,
});

const codeOf = (attempt: Promise<unknown>): Promise<string> =>
  attempt.then(
    () => "none",
    (thrown: { code: string }) => thrown.code,
  );

describe("adoptRun", () => {
  test("makes any program an agent, once, and follows it to its end", async () => {
    const child = spawnProgram("read line; kill -SEGV $$");
    const claim = claimOf(child.pid);
    const { agent, workspaceRefused } = await kit.source.adoptRun(claim);
    expect(agent).toMatchObject({
      kind: expect.stringMatching(/^any-/) as string,
      runId: claim.runId,
      sessionId: `run-${claim.runId}`,
      workspace: kit.directory,
      ownCgroup: false,
    });
    expect(workspaceRefused).toBeNull();
    expect((await kit.source.adoptRun(claim)).agent).toEqual(agent);
    await child.stdin.end();
    const exit = await kit.exitOf(child.pid);
    expect(exit).toMatchObject({ sessionId: `run-${claim.runId}`, workspace: kit.directory });
    expect(kit.told(child.pid)).toEqual({ starts: 1, exits: 1 });
    expect(kit.of("process_start", child.pid)[0]?.data["run_id"]).toBe(claim.runId);
    expect(interruptionsOf([exit])).toEqual(["agent_crash"]);
  });

  test("gives the run, its name and its workspace to an agent that was found before", async () => {
    const child = kit.spawn("read line; exit 0");
    await kit.started(child.pid);
    const claim = claimOf(child.pid, { name: "reviewer", workspace: null });
    const { agent } = await kit.source.adoptRun(claim);
    expect(agent).toMatchObject({ kind: "reviewer", runId: claim.runId, workspace: null });
    await child.stdin.end();
    expect(await kit.exitOf(child.pid)).toMatchObject({ agent: "reviewer" });
    expect(kit.told(child.pid)).toEqual({ starts: 1, exits: 1 });
  });

  test("an unnamed run has the kind of the program that it becomes, a named one keeps its own", async () => {
    const program = kit.program(`${kit.kind}-final`, "read line");
    const start = (name: string | null) => {
      const child = spawnProgram(`read line; exec env X=1 ${program}`);
      return { child, claim: claimOf(child.pid, { name }) };
    };
    const kindOf = (pid: number): string | undefined => kit.source.registry.ofPid(pid)?.kind;
    for (const name of [null, "reviewer"]) {
      const { child, claim } = start(name);
      const { agent } = await kit.source.adoptRun(claim);
      expect(agent.kind).toMatch(name === null ? /^any-/ : /^reviewer$/);
      await sendLine(child);
      await waitFor("the program", () =>
        kit.source.registry.ofPid(child.pid)?.command.includes("-final"),
      );
      expect(kindOf(child.pid)).toBe(name ?? kit.kind);
      child.kill("SIGKILL");
      await kit.exitOf(child.pid);
    }
  });

  test("an agent inside of a run is its own, and known to be of that run", async () => {
    const file = `${kit.directory}/${newId()}`;
    const inner = kit.program(`${kit.kind}-inner`, `echo $$ >${file}; read line; exit 0`);
    const child = spawnProgram(`exec 3<&0; ${inner} <&3; exit 0`);
    const pid = await waitFor(
      "the pid",
      () => existsSync(file) && Number(readFileSync(file, "utf8")),
    );
    await kit.started(pid);
    const claim = claimOf(child.pid);
    const outer = (await kit.source.adoptRun(claim)).agent;
    const found = kit.source.registry.ofPid(pid);
    expect(found).toMatchObject({ pid, kind: kit.kind, runId: null });
    expect(kit.source.runOf(found?.id ?? "")).toBe(claim.runId);
    expect(kit.source.runOf(outer.id)).toBe(claim.runId);
    await child.stdin.end();
    await Promise.all([kit.exitOf(pid), kit.exitOf(child.pid)]);
    expect(kit.source.runOf(found?.id ?? "")).toBe(claim.runId);
    expect(kit.source.runOf("1-1")).toBeNull();
  });

  test("refuses what is not the caller's, is gone, or is taken", async () => {
    const child = spawnProgram("read line");
    const claim = claimOf(child.pid);
    const adopt = (more: Partial<AdoptRequest>) =>
      codeOf(kit.source.adoptRun({ ...claim, ...more }));
    expect(await adopt({ startTicks: claim.startTicks + 1 })).toBe("not_found");
    expect(await adopt(identityOf(process.pid))).toBe("not_permitted");
    expect(await adopt({ runId: "../x" })).toBe("invalid");
    expect(await adopt({ name: "a\nb" })).toBe("invalid");
    expect(await adopt({ workspace: "relative" })).toBe("invalid");
    expect(await adopt({ pid: 0 })).toBe("invalid");
    // Another ordinary user: neither root, nor observer's own, nor the process's.
    if (uid === 0) expect(await adopt({ callerUid: 65534 })).toBe("not_permitted");
    await kit.source.adoptRun(claim);
    expect(await adopt({ runId: newId() })).toBe("conflict");
    const second = spawnProgram("read line");
    expect(await codeOf(kit.source.adoptRun(claimOf(second.pid, { runId: claim.runId })))).toBe(
      "conflict",
    );
    expect(kit.source.registry.ofPid(second.pid)).toBeNull();
    child.kill("SIGKILL");
    second.kill("SIGKILL");
    await Promise.all([child.exited, second.exited]);
    await kit.exitOf(child.pid);
    expect(await adopt({})).toBe("not_found");
  });

  test("takes no workspace that is none, and says why", async () => {
    const child = spawnProgram("read line");
    const file = join(kit.directory, "file");
    writeFileSync(file, "");
    const claim = claimOf(child.pid, { workspace: file });
    const first = await kit.source.adoptRun(claim);
    expect(first.workspaceRefused).toBe("it is no directory");
    expect(first.agent.workspace).toBeNull();
    const second = await kit.source.adoptRun({ ...claim, workspace: "/nowhere" });
    expect(second.workspaceRefused).toContain("does not exist");
    child.kill("SIGKILL");
    await kit.exitOf(child.pid);
  });

  test.skipIf(uid !== 0)(
    "takes an ordinary user's process, and only that user's workspace",
    async () => {
      const user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
      const child = Bun.spawn(["setpriv", ...user, "/bin/sh", "-c", "read line"], {
        stdio: ["pipe", "ignore", "ignore"],
      });
      while (
        Bun.spawnSync(["stat", "-c", "%u", `/proc/${child.pid}`]).stdout.toString() !== "65534\n"
      ) {
        await Bun.sleep(5);
      }
      const claim = claimOf(child.pid, { callerUid: 65534 });
      const { workspaceRefused, agent } = await kit.source.adoptRun(claim);
      expect(workspaceRefused).toContain("does not belong");
      expect(agent).toMatchObject({ uid: 65534, workspace: null });
      child.kill("SIGKILL");
      await kit.exitOf(child.pid);
    },
  );
});

describe("the cgroup of a run", () => {
  const mounts = findCgroupMounts();
  const roots = [mounts.unified, mounts.memory, mounts.freezer]
    .filter((mount) => mount !== null)
    .map(({ mountPoint }) => mountPoint);
  const works = uid === 0 && roots.length > 0 && roots.every((root) => mayWrite(root));
  if (!works) console.log("skipped: cgroups cannot be made here");

  test.skipIf(!works)("is its own where the process is in it, and nowhere else", async () => {
    const runId = newId();
    const made = [...new Set(roots)].map((root) => join(root, PARENT, `run-${runId}`));
    const child = spawnProgram("read line");
    try {
      const cgroups = cgroupsOf(child.pid, mounts);
      const before = await kit.source.adoptRun(
        claimOf(child.pid, { runId, cgroups: { ...cgroups, freezer: made.at(-1) ?? null } }),
      );
      expect(before.cgroupRefused).toContain("not in the freezer cgroup");
      const shared = await kit.source.adoptRun(claimOf(child.pid, { runId, cgroups }));
      expect(shared.cgroupRefused).toContain("not one that observer makes");
      expect(shared.agent.ownCgroup).toBe(false);
      for (const directory of made) {
        mkdirSync(directory, { recursive: true });
        writeFileSync(join(directory, "cgroup.procs"), String(child.pid));
      }
      const own = cgroupsOf(child.pid, mounts);
      const { agent, cgroupRefused } = await kit.source.adoptRun(
        claimOf(child.pid, { runId, cgroups: own }),
      );
      expect(cgroupRefused).toBeNull();
      expect(agent).toMatchObject({ ownCgroup: true, cgroups: own });
      for (const directory of made) {
        expect(kit.source.registry.ofCgroup(directory)?.id).toBe(agent.id);
        expect(kit.source.registry.ofCgroup(`${directory}/below`)?.id).toBe(agent.id);
        expect(kit.source.registry.ofCgroup(join(directory, ".."))).toBeNull();
        expect(kit.source.registry.ofCgroup(`${directory}0`)).toBeNull();
      }
      child.kill("SIGKILL");
      await kit.exitOf(child.pid);
      expect(kit.source.registry.ofCgroup(made[0] ?? "")?.id).toBe(agent.id);
    } finally {
      child.kill("SIGKILL");
      await child.exited;
      for (const directory of made) await removeTree(join(directory, ".."));
    }
  });

  test("leaves out what is shared, but for where memory is counted", () => {
    const run = { runId: "r1", parentName: "observer-1" };
    const own = (root: string): string => `${root}/observer-1/run-r1`;
    const base = { unified: "/u", memory: "/m", memoryVersion: 1, freezer: "/f" } as const;
    expect(ownDirectories(base, run)).toBeNull();
    expect(ownDirectories({ ...base, unified: own("/u") }, run)).toEqual({
      ...base,
      unified: own("/u"),
      freezer: null,
    });
    // The program may have gone into a cgroup below its own.
    expect(ownDirectories({ ...base, freezer: `${own("/f")}/inner` }, run)).toEqual({
      ...base,
      unified: null,
      freezer: own("/f"),
    });
    const scope = "/u/user.slice/observer-run-r1.scope";
    expect(ownDirectories({ ...base, unified: scope }, run)?.unified).toBe(scope);
    for (const other of ["/f/observer-1/run-r12", "/f/observer-2/run-r1", "/f/run-r1/observer-1"]) {
      expect(ownDirectories({ ...base, freezer: other }, run)).toBeNull();
    }
  });
});

describe("reportExit", () => {
  const report = { exitCode: 9, signal: null, coreDumped: false, callerUid: uid };

  test("is not believed of a process that lives", async () => {
    const child = spawnProgram("read line");
    const process = identityOf(child.pid);
    expect(await codeOf(kit.source.reportExit({ ...process, ...report }))).toBe("conflict");
    const other = { ...process, startTicks: process.startTicks + 1 };
    expect(await codeOf(kit.source.reportExit({ ...other, ...report }))).toBe("not_found");
    await kit.source.adoptRun(claimOf(child.pid));
    expect(await codeOf(kit.source.reportExit({ ...process, ...report }))).toBe("conflict");
    const wrong = { ...report, exitCode: null };
    expect(await codeOf(kit.source.reportExit({ ...process, ...wrong }))).toBe("invalid");
    child.kill("SIGTERM");
    const exit = await kit.exitOf(child.pid);
    expect(exit.data).toMatchObject({ signal: "SIGTERM" });
    // Told already: nothing is added.
    await kit.source.reportExit({ ...process, ...report });
    expect(kit.told(child.pid)).toEqual({ starts: 1, exits: 1 });
  });

  test("tells the whole life of a program that was over before it could be adopted", async () => {
    const child = spawnProgram("exit 9");
    const process = identityOf(child.pid);
    await child.exited;
    const run = {
      runId: newId(),
      name: "short",
      workspace: kit.directory,
      command: ["short", "x"],
    };
    await kit.source.reportExit({ ...process, ...report, run });
    await kit.source.reportExit({ ...process, ...report, run });
    expect(kit.told(child.pid)).toEqual({ starts: 1, exits: 1 });
    expect(kit.of("process_exit", child.pid)[0]).toMatchObject({
      agent: "short",
      sessionId: `run-${run.runId}`,
      workspace: kit.directory,
      data: { exit_code: 9, seen_by: ["parent"] },
    });
  });

  test("is not believed of a process that may still start, nor of a run of another user", async () => {
    const run = { runId: newId(), name: null, workspace: null, command: ["claude"] };
    const future = { pid: 4_194_000, startTicks: identityOf(process.pid).startTicks + 8_640_000 };
    const stranger = { ...report, callerUid: 65_533 };
    expect(await codeOf(kit.source.reportExit({ ...future, ...stranger, run }))).toBe("invalid");
    const child = spawnProgram("read line");
    const { runId } = claimOf(child.pid);
    await kit.source.adoptRun(claimOf(child.pid, { runId }));
    const past = { pid: 4_194_000, startTicks: 1 };
    const theirs = { ...past, ...stranger, run: { ...run, runId } };
    expect(await codeOf(kit.source.reportExit(theirs))).toBe("not_permitted");
    expect(kit.told(4_194_000)).toEqual({ starts: 0, exits: 0 });
    child.kill("SIGTERM");
    await kit.exitOf(child.pid);
  });

  test("is heard where nobody else can tell", async () => {
    const blind = await createKit({
      connector: false,
      watcher: false,
      host: {
        openPidfd: () => {
          throw new Error("left out by the test");
        },
      },
    });
    try {
      const child = blind.spawn("read line; exit 9");
      const process = identityOf(child.pid);
      await blind.source.adoptRun(claimOf(child.pid));
      await child.stdin.end();
      await child.exited;
      await blind.source.reportExit({ ...process, ...report });
      // Answered when it is stored, not before.
      const [exit] = blind.of("process_exit", child.pid);
      if (!exit) throw new Error("the end is not stored");
      expect(exit.data).toMatchObject({ exit_code: 9 });
      expect(exit.data["seen_by"]).toContain("parent");
    } finally {
      await blind.stop();
    }
  });
});
