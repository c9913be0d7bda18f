// How agents die: real processes, each with exactly the events and interruptions that are promised.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { EventDraft } from "../../../src/core/event.ts";
import { createKit, interruptionsOf, type Kit, probeKernel, waitFor, sendLine } from "./kit.ts";

setDefaultTimeout(30_000);

interface Death {
  name: string;
  /** Ends the script by itself. */
  script?: string;
  /** Sent to it. */
  signal?: NodeJS.Signals;
  data: Record<string, unknown>;
  idle: string[];
  working: string[];
}

const DEATHS: Death[] = [
  { name: "exit 0", script: "exit 0", data: { exit_code: 0 }, idle: [], working: [] },
  { name: "exit 1", script: "exit 1", data: { exit_code: 1 }, idle: [], working: ["agent_crash"] },
  ...(["SIGTERM", "SIGINT", "SIGHUP"] as const).map((signal) => ({
    name: signal,
    signal,
    data: { signal },
    idle: [],
    working: [],
  })),
  ...(["SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL"] as const).map((signal) => ({
    name: signal,
    signal,
    data: { signal },
    idle: ["agent_crash"],
    working: ["agent_crash"],
  })),
];

const openCall = (sessionId: string): EventDraft => ({
  kind: "tool_call",
  source: "test",
  sessionId,
  data: { tool: "Bash", call_id: "1" },
});

// The last is blind: a zombie is all that is left to read there, and these parents reap at once.
const CONDITIONS = [
  { name: "with process events of the kernel", options: {} },
  { name: "without process events of the kernel", options: { connector: false } },
  { name: "without the waiting thread", options: { watcher: false } },
  {
    name: "without the waiting thread and pidfds",
    options: {
      watcher: false,
      host: {
        openPidfd: () => {
          throw new Error("left out by the test");
        },
      },
    },
  },
];

const kernel = await probeKernel();

for (const { name: condition, options } of CONDITIONS) {
  const isBlind = "host" in options;
  const tells =
    kernel.exitInfo ||
    isBlind ||
    (kernel.connector === null && !("connector" in options) && !("watcher" in options));
  describe.skipIf(!tells)(condition, () => {
    let kit: Kit;
    beforeAll(async () => {
      kit = await createKit(options);
    });
    afterAll(() => kit.stop());

    for (const { name, script, signal, data, idle, working } of DEATHS) {
      test.concurrent(name, async () => {
        const session = `s-${crypto.randomUUID()}`;
        const child = kit.spawn(`read line; ${script ?? "exit 99"}`, {
          env: { OBSERVER_SESSION_ID: session },
        });
        await kit.started(child.pid);
        if (signal) child.kill(signal);
        else await child.stdin.end();
        const exit = await kit.exitOf(child.pid);
        expect(exit).toMatchObject({ source: "kernel", sessionId: session, agent: kit.kind });
        expect(exit.data.duration_ms).toBeGreaterThan(0);
        await Bun.sleep(50);
        expect(kit.told(child.pid)).toEqual({ starts: 1, exits: 1 });
        const told = kit.drafts.filter((draft) => draft.sessionId === session);
        const { exit_code, signal: by, core_dumped: _, seen_by, reason } = exit.data;
        // Unless the look came just between the death and the parent's.
        if (isBlind && !String(seen_by).includes("zombie")) {
          expect({ exit_code, by, seen_by, reason }).toEqual({
            exit_code: undefined,
            by: undefined,
            seen_by: ["gone"],
            reason: "nobody could tell how it ended",
          });
          expect(interruptionsOf([openCall(session), ...told])).toEqual([]);
          return;
        }
        expect({
          ...(by !== undefined && { signal: by }),
          ...(exit_code !== undefined && { exit_code }),
        }).toEqual(data);
        expect(reason).toBeUndefined();
        expect(interruptionsOf(told)).toEqual(idle);
        expect(interruptionsOf([openCall(session), ...told])).toEqual(working);
      });
    }
  });
}

describe("odd deaths", () => {
  let kit: Kit;
  beforeAll(async () => {
    kit = await createKit();
  });
  afterAll(() => kit.stop());

  /** Told ends of what the agent started. */
  const childrenOf = (pid: number): EventDraft[] =>
    kit.drafts.filter(
      (draft) =>
        draft.data["child"] === true && kit.source.registry.ofPid(draft.pid ?? 0)?.pid === pid,
    );

  const pattern = readFileSync("/proc/sys/kernel/core_pattern", "utf8").trim();
  const dumps = !pattern.startsWith("|") && !pattern.startsWith("/");
  if (!dumps) console.log("skipped: cores go elsewhere on this host");

  test.skipIf(!dumps)("a core dump is told, and is a crash also of an orderly signal", async () => {
    const child = kit.spawn("ulimit -c unlimited; read line; kill -QUIT $$");
    await kit.started(child.pid);
    await child.stdin.end();
    const exit = await kit.exitOf(child.pid);
    expect(exit.data).toMatchObject({ signal: "SIGQUIT", core_dumped: true });
    expect(interruptionsOf([exit])).toEqual(["agent_crash"]);
  });

  test("a parent that never reaps: told at the moment of death", async () => {
    const agent = kit.program(`${kit.kind}-zombie`, "read line; exit 7");
    const file = `${kit.directory}/zombie-pid`;
    const parent = kit.program(
      "parent",
      `exec 3<&0; ${agent} <&3 & echo $! >${file}; exec sleep 60`,
    );
    const child = Bun.spawn([parent], { stdio: ["pipe", "ignore", "inherit"] });
    try {
      const pid = await waitFor(
        "the pid",
        () => existsSync(file) && Number(readFileSync(file, "utf8")),
      );
      await kit.started(pid);
      await child.stdin.end();
      const exit = await kit.exitOf(pid);
      expect(exit.data).toMatchObject({ exit_code: 7 });
      expect(exit.data["seen_by"]).toContain("zombie");
      expect(readFileSync(`/proc/${pid}/stat`, "utf8")).toContain(") Z ");
      expect(kit.source.registry.list().some((agent) => agent.pid === pid)).toBe(false);
      expect(kit.source.registry.ofPid(pid)?.kind).toBe(kit.kind);
    } finally {
      child.kill("SIGKILL");
      await child.exited;
    }
  });

  const python = Bun.which("python3");
  if (!python) console.log("skipped: no python3, whose main thread can end before the others");

  test.skipIf(!python)("a main thread that ends while others work is no end", async () => {
    const path = `${kit.directory}/${kit.kind}-leader`;
    writeFileSync(
      path,
      [
        "import ctypes, os, sys, threading",
        "def work():",
        "    sys.stdin.readline()",
        "    os._exit(5)",
        "threading.Thread(target=work).start()",
        "sys.stdout.write('x'); sys.stdout.flush()",
        "ctypes.CDLL(None).pthread_exit(None)",
      ].join("\n"),
    );
    const child = Bun.spawn([python ?? "", path], { stdio: ["pipe", "pipe", "inherit"] });
    await kit.started(child.pid);
    await waitFor("the leader's end", () =>
      readFileSync(`/proc/${child.pid}/stat`, "utf8").includes(") Z "),
    );
    await Bun.sleep(600);
    expect(kit.told(child.pid)).toEqual({ starts: 1, exits: 0 });
    await child.stdin.end();
    const exit = await kit.exitOf(child.pid);
    expect(exit.data).toMatchObject({ exit_code: 5 });
    expect(kit.told(child.pid)).toEqual({ starts: 1, exits: 1 });
  });

  test("a process that ends before it can be opened: both events or none, never half", async () => {
    const children = Array.from({ length: 60 }, () => kit.spawn("exit 3"));
    await Promise.all(children.map((child) => child.exited));
    await Bun.sleep(600);
    for (const { pid } of children) {
      const { starts, exits } = kit.told(pid);
      expect(exits).toBe(starts);
      expect(starts).toBeLessThanOrEqual(1);
    }
    const exits = children.flatMap(({ pid }) => kit.of("process_exit", pid));
    expect(exits.every((exit) => exit.data.exit_code === 3 || exit.data.reason !== undefined)).toBe(
      true,
    );
    expect(interruptionsOf(exits)).toEqual([]);
  });

  test("a storm of 2,000 short processes makes no agents and loses no end", async () => {
    const before = kit.source.registry.list().length;
    const child = kit.spawn(
      "read line; i=0; while [ $i -lt 1000 ]; do /bin/true; ( : ); i=$((i+1)); done; echo done; read line; exit 0",
    );
    await kit.started(child.pid);
    const draftsBefore = kit.drafts.length;
    await sendLine(child);
    const reader = child.stdout.getReader();
    await reader.read();
    expect(kit.drafts.slice(draftsBefore).filter(({ agent }) => agent === kit.kind)).toEqual([]);
    expect(kit.source.registry.list().length).toBeLessThanOrEqual(before + 1);
    await child.stdin.end();
    expect((await kit.exitOf(child.pid)).data).toMatchObject({ exit_code: 0 });
    expect(kit.told(child.pid)).toEqual({ starts: 1, exits: 1 });
  }, 30_000);

  test.skipIf(kernel.connector !== null)(
    "a child that dies violently is told as the agent's child, others are not",
    async () => {
      const child = kit.spawn(
        "read line; sh -c 'kill -SEGV $$'; sh -c 'kill -TERM $$'; sh -c 'exit 3'; read line",
      );
      await kit.started(child.pid);
      await sendLine(child);
      const draft = await waitFor("the child's end", () => childrenOf(child.pid).at(0));
      expect(draft).toMatchObject({
        kind: "process_exit",
        agent: kit.kind,
        data: { signal: "SIGSEGV", child: true, seen_by: ["proc_connector"] },
      });
      expect(draft.pid).not.toBe(child.pid);
      await Bun.sleep(200);
      expect(childrenOf(child.pid)).toHaveLength(1);
      expect(kit.told(child.pid)).toEqual({ starts: 1, exits: 0 });
      await child.stdin.end();
      await kit.exitOf(child.pid);
    },
  );

  test.skipIf(kernel.connector !== null)(
    "children that die faster than is kept are counted",
    async () => {
      const child = kit.spawn(
        "read line; i=0; while [ $i -lt 30 ]; do sh -c 'kill -KILL $$'; i=$((i+1)); done; read line",
      );
      await kit.started(child.pid);
      await sendLine(child);
      await waitFor(
        "the counter",
        () => kit.metrics.get("observer_child_exits_dropped_total") === 10,
      );
      await child.stdin.end();
      await kit.exitOf(child.pid);
    },
  );
});

test("what observer itself ended says so", async () => {
  const ended = new Set<number>();
  const kit = await createKit({ endedByUs: ({ pid }) => ended.has(pid) });
  try {
    const child = kit.spawn("read line");
    await kit.started(child.pid);
    ended.add(child.pid);
    child.kill("SIGKILL");
    const exit = await kit.exitOf(child.pid);
    expect(exit.data).toMatchObject({ signal: "SIGKILL", killed_by: "observer" });
  } finally {
    await kit.stop();
  }
});
