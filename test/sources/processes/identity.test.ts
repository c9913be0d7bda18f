// One agent is one process: over restarts of observer, when its number is used again, for users without rights.

import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { createAgentRows } from "../../../src/store/agent-rows.ts";
import { createHost } from "../../../src/sources/processes/host.ts";
import {
  createKit,
  identityOf,
  interruptionsOf,
  type Kit,
  type KitOptions,
  openMemory,
  probeKernel,
  waitFor,
} from "./kit.ts";

setDefaultTimeout(30_000);

const kernel = await probeKernel();
const kits: Kit[] = [];

async function kitWith(options: KitOptions = {}): Promise<Kit> {
  const kit = await createKit(options);
  kits.push(kit);
  return kit;
}

afterEach(async () => {
  await Promise.all(kits.splice(0).map((kit) => kit.stop()));
});

describe("a restart of observer", () => {
  test("takes over agents that live on, without telling their start again", async () => {
    const database = openMemory();
    const first = await kitWith({ database });
    const child = first.spawn("read line; exit 4", { env: { OBSERVER_SESSION_ID: "s-1" } });
    await first.started(child.pid);
    await first.source.stop();
    const second = await kitWith({ database, kind: first.kind });
    const agent = second.source.registry.list().find(({ pid }) => pid === child.pid);
    expect(agent).toMatchObject({ kind: first.kind, sessionId: "s-1", cwd: first.directory });
    await child.stdin.end();
    const exit = await second.exitOf(child.pid);
    expect(exit).toMatchObject({ sessionId: "s-1", agent: first.kind });
    if (kernel.exitInfo || kernel.connector === null) expect(exit.data.exit_code).toBe(4);
    expect(second.told(child.pid)).toEqual({ starts: 0, exits: 1 });
    expect(
      createAgentRows(database)
        .all()
        .filter(({ pid }) => pid === child.pid),
    ).toEqual([]);
  });

  test("tells of those that ended meanwhile, without making up how", async () => {
    const database = openMemory();
    const first = await kitWith({ database });
    const child = first.spawn("read line");
    await first.started(child.pid);
    await first.source.stop();
    child.kill("SIGKILL");
    await child.exited;
    const second = await kitWith({ database, kind: first.kind });
    const exit = await second.exitOf(child.pid);
    const { exit_code, signal, duration_ms, reason, seen_by } = exit.data;
    expect({ exit_code, signal, duration_ms, reason, seen_by }).toEqual({
      exit_code: undefined,
      signal: undefined,
      duration_ms: undefined,
      reason: "ended while observer was not running",
      seen_by: ["gone"],
    });
    expect(exit.timeMs).toBeUndefined();
    expect(interruptionsOf([exit])).toEqual([]);
    // A third start finds nothing left to tell.
    await second.source.stop();
    const third = await kitWith({ database, kind: first.kind });
    expect(third.told(child.pid)).toEqual({ starts: 0, exits: 0 });
  });

  test("knows that agents of an earlier boot are gone, whoever has their number now", async () => {
    const database = openMemory();
    const rows = createAgentRows(database);
    const own = identityOf(process.pid);
    rows.put({
      ...own,
      boot: "01234567",
      kind: "old",
      ruleKind: "old",
      startedMs: 1_000,
      uid: 0,
      sessionId: "s-old",
      sessionProven: true,
      workspace: "/srv",
      runId: null,
      cgroups: { unified: null, memory: null, memoryVersion: null, freezer: null },
      ownCgroup: false,
    });
    const kit = await kitWith({ database });
    const exit = await kit.exitOf(own.pid);
    expect(exit).toMatchObject({
      id: `exit:01234567:${own.pid}:${own.startTicks}`,
      sessionId: "s-old",
      agent: "old",
      data: { reason: "ended while observer was not running" },
    });
    expect(rows.all()).toEqual([]);
  });
});

const LAST_PID = "/proc/sys/kernel/ns_last_pid";

describe("a number that is used again", () => {
  const isRoot = process.geteuid?.() === 0;
  if (!isRoot) console.log("skipped: only root can make the kernel use a number again");

  for (const connector of [true, false]) {
    test.skipIf(!isRoot)(`is another process (process events: ${connector})`, async () => {
      const kit = await kitWith({ connector });
      const first = kit.spawn("read line; exit 0");
      await kit.started(first.pid);
      // Two processes of one number within one clock tick would be one to everybody.
      await Bun.sleep(30);
      await first.stdin.end();
      await first.exited;
      const second = respawn(kit, first.pid);
      if (second === null) {
        console.log("skipped: other processes took the number first");
        return;
      }
      const { startTicks } = identityOf(second.pid);
      const starts = await startsOf(kit, first.pid);
      expect(starts.at(-1)).toBe(startTicks);
      expect(starts.at(-1)).not.toBe(starts[0]);
      second.kill("SIGKILL");
      await kit.exitOf(first.pid);
      await waitFor("the second end", () => kit.of("process_exit", first.pid).length === 2);
      const ids = kit.of("process_exit", first.pid).map(({ id }) => id);
      expect(new Set(ids).size).toBe(2);
      expect(kit.told(first.pid)).toEqual({ starts: 2, exits: 2 });
    });
  }

  async function startsOf(kit: Kit, pid: number): Promise<unknown[]> {
    await waitFor("the second start", () => kit.of("process_start", pid).length === 2);
    return kit.of("process_start", pid).map(({ data }) => data["start_ticks"]);
  }

  function respawn(kit: Kit, pid: number) {
    for (let attempt = 0; attempt < 50; attempt += 1) {
      writeFileSync(LAST_PID, String(pid - 1));
      const child = kit.spawn("read line; exit 0");
      if (child.pid === pid) return child;
      child.kill("SIGKILL");
    }
    return null;
  }

  test("between two looks is seen, by its start time", async () => {
    const host = createHost();
    let shift = 0;
    const kit = await kitWith({
      connector: false,
      watcher: false,
      host: {
        openPidfd: () => {
          throw new Error("left out by the test");
        },
        readStat(pid) {
          const stat = host.readStat(pid);
          return stat && { ...stat, startTicks: stat.startTicks + shift };
        },
      },
    });
    const child = kit.spawn("read line");
    await kit.started(child.pid);
    const agent = kit.source.registry.ofPid(child.pid);
    shift = 1;
    const exit = await kit.exitOf(child.pid);
    expect(exit.data).toMatchObject({ seen_by: ["gone"] });
    expect(kit.source.registry.get(agent?.id ?? "")).toBeNull();
  });
});

describe("as an ordinary user", () => {
  const canChange = process.geteuid?.() === 0 && Bun.which("setpriv") !== null;
  if (!canChange) console.log("skipped: changing the user needs root and setpriv");

  test.skipIf(!canChange || !kernel.exitInfo)("finds agents and tells their ends", async () => {
    // The kit's own source is stopped: it only lends a directory and a program.
    const kit = await kitWith();
    await kit.source.stop();
    const name = `${kit.kind}-other`;
    const other = Bun.spawn([kit.program(name, "read line")], {
      stdio: ["pipe", "ignore", "ignore"],
      env: { PATH: "/usr/bin:/bin", OBSERVER_SESSION_ID: "secret" },
    });
    const user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    const program = [process.execPath, `${import.meta.dir}/ordinary-user.ts`, name];
    const child = Bun.spawn(["setpriv", ...user, ...program], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { PATH: "/usr/bin:/bin", HOME: "/tmp" },
    });
    let text = "";
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (text === "found\n") other.kill("SIGKILL");
    }
    expect(await child.exited).toBe(0);
    expect(JSON.parse(text.split("\n")[1] ?? "")).toEqual({
      uid: 65534,
      state: "degraded",
      own: ["SIGKILL", 3],
      interruptions: ["agent_crash"],
      // Of another user's agent what may not be read is not known; its end is.
      other: { uid: 0, cwd: null, workspace: null, sessionId: null, end: "SIGKILL" },
    });
  });
});
