// Ties between agents and sessions: what proves one, what only claims it, and what is not believed.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Agent } from "../../../src/core/agent.ts";
import type { EventDraft } from "../../../src/core/event.ts";
import { newId } from "../../../src/core/ids.ts";
import { NO_CGROUPS } from "../../../src/kernel/cgroup.ts";
import { readOwnedFile } from "../../../src/sources/processes/owned-file.ts";
import type { AgentRecord } from "../../../src/sources/processes/record.ts";
import {
  agentOfEvent,
  ownChildren,
  registeredSession,
} from "../../../src/sources/processes/sessions.ts";
import { NO_TIES, retie, sessionOf } from "../../../src/sources/processes/ties.ts";
import { createKit, HOST_NAME, type Kit, toEvent, waitFor, sendLine } from "./kit.ts";

setDefaultTimeout(30_000);

const STARTED_MS = 1_795_000_000_000;

function recordOf(facts: Partial<Agent> = {}, more: Partial<AgentRecord> = {}): AgentRecord {
  const agent: Agent = {
    id: "10-1",
    pid: 10,
    startTicks: 1,
    kind: "claude-code",
    startedMs: STARTED_MS,
    uid: 1000,
    cwd: "/w",
    command: "claude",
    sessionId: null,
    workspace: "/w",
    runId: null,
    cgroups: NO_CGROUPS,
    ownCgroup: false,
    ...facts,
  };
  return {
    agent,
    ruleKind: agent.kind,
    isNamed: false,
    runAbove: null,
    ties: { ...NO_TIES },
    endedMs: null,
    isTold: false,
    orphansSeen: false,
    ...more,
  };
}

describe("sessionOf", () => {
  const tie = (sessionId: string, atMs: number) => ({ sessionId, atMs });

  test("the newest proven tie holds, before claims and the run", () => {
    const run = tie("run-1", 0);
    const event = tie("e", 900);
    expect(sessionOf(NO_TIES)).toBeNull();
    expect(sessionOf({ ...NO_TIES, run })).toEqual({ sessionId: "run-1", proven: true });
    expect(sessionOf({ ...NO_TIES, run, event })).toEqual({ sessionId: "e", proven: false });
    const ties = { run, event, file: tie("f", 1), child: tie("c", 2) };
    expect(sessionOf(ties)).toEqual({ sessionId: "c", proven: true });
    expect(sessionOf({ ...ties, file: tie("f", 3) })?.sessionId).toBe("f");
  });

  test("a tie that says the same keeps its time", () => {
    expect(retie(tie("a", 1), "a", 5)).toEqual(tie("a", 1));
    expect(retie(tie("a", 1), "b", 5)).toEqual(tie("b", 5));
  });
});

describe("registeredSession", () => {
  const process = { pid: 42, startedMs: STARTED_MS, nowMs: STARTED_MS + 3_600_000 };
  const read = (value: unknown, modifiedMs = STARTED_MS): string | null =>
    registeredSession({ text: JSON.stringify(value), modifiedMs }, process);

  test("takes the register of this process", () => {
    expect(read({ pid: 42, sessionId: "s", startedAt: STARTED_MS + 900 })).toBe("s");
    expect(read({ pid: 42, sessionId: "s", startedAt: new Date(STARTED_MS).toISOString() })).toBe(
      "s",
    );
    expect(read({ pid: 42, sessionId: "s" })).toBe("s");
  });

  test("refuses that of an earlier process, of another one, and nonsense", () => {
    expect(read({ pid: 42, sessionId: "s", startedAt: STARTED_MS - 600_000 })).toBeNull();
    expect(read({ pid: 42, sessionId: "s" }, STARTED_MS - 600_000)).toBeNull();
    expect(read({ pid: 42, sessionId: "s", startedAt: STARTED_MS + 86_400_000 })).toBeNull();
    expect(read({ pid: 43, sessionId: "s", startedAt: STARTED_MS })).toBeNull();
    expect(read({ pid: 42, sessionId: "a b", startedAt: STARTED_MS })).toBeNull();
    expect(read({ pid: 42, sessionId: 7, startedAt: STARTED_MS })).toBeNull();
    expect(read({ pid: 42, sessionId: "x".repeat(257), startedAt: STARTED_MS })).toBeNull();
    expect(read([1])).toBeNull();
    expect(read(null)).toBeNull();
    expect(registeredSession({ text: '{"pid":42,"sess', modifiedMs: 0 }, process)).toBeNull();
  });
});

describe("ownChildren", () => {
  const child = (pid: number, ppid: number, kind: string | null = null) => ({
    pid,
    ppid,
    startTicks: pid,
    kind,
  });
  const pidsOf = (tree: ReturnType<typeof child>[]): number[] =>
    ownChildren(recordOf(), tree).map(({ pid }) => pid);

  test("leaves out what an inner agent started", () => {
    expect(
      pidsOf([child(11, 10), child(12, 11), child(13, 11, "claude-code"), child(14, 13)]),
    ).toEqual([11, 12]);
    expect(pidsOf([child(11, 10, "codex"), child(12, 11)])).toEqual([]);
  });

  test("looks through a wrapper, whose one child is the same agent", () => {
    expect(pidsOf([child(11, 10, "claude-code"), child(12, 11), child(13, 12)])).toEqual([12, 13]);
  });
});

describe("agentOfEvent", () => {
  const draft = (more: Partial<EventDraft> = {}): EventDraft => ({
    kind: "tool_call",
    source: "claude-code",
    agent: "claude-code",
    sessionId: "s",
    timeMs: STARTED_MS + 1_000,
    data: { cwd: "/w" },
    ...more,
  });
  const one = recordOf();
  const fit = (event: EventDraft, records = [one], ofPid: AgentRecord | null = null) =>
    agentOfEvent(toEvent(event), { records, ofPid: () => ofPid, host: HOST_NAME });

  test("fits the only agent of its kind in its directory", () => {
    expect(fit(draft())).toBe(one);
    expect(fit(draft(), [one, recordOf({ cwd: "/other" }), recordOf({ kind: "codex" })])).toBe(one);
  });

  test("fits the agent whose tree its pid is in", () => {
    expect(fit(draft({ pid: 99, data: {} }), [one], one)).toBe(one);
    // A pid that is nobody's says that it is not this agent, whatever the directory is.
    expect(fit(draft({ pid: 99 }), [one], null)).toBeNull();
  });

  test("fits none where two could be meant, or where something does not match", () => {
    expect(fit(draft(), [one, recordOf({ id: "11-1", pid: 11 })])).toBeNull();
    expect(fit(draft({ agent: "codex" }))).toBeNull();
    expect(fit(draft({ data: { cwd: "/w/sub" } }))).toBeNull();
    expect(fit(draft({ data: {} }))).toBeNull();
    expect(fit(draft({ timeMs: STARTED_MS - 1 }))).toBeNull();
    expect(fit(draft({ host: "elsewhere" }))).toBeNull();
    expect(fit(draft({ source: "kernel" }))).toBeNull();
    expect(fit(draft({ kind: "session_end" }))).toBeNull();
    expect(fit(draft({ data: { cwd: "/w", agent_id: "sub" } }))).toBeNull();
    expect(fit(draft({ sessionId: "a\nb" }))).toBeNull();
    expect(fit(draft(), [recordOf({}, { endedMs: 1 })])).toBeNull();
    const { sessionId: _, ...without } = draft();
    expect(fit(without)).toBeNull();
  });
});

describe("readOwnedFile", () => {
  const uid = process.geteuid?.() ?? 0;
  let directory: string;
  beforeAll(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), "observer-owned-")));
    chmodSync(directory, 0o755);
    writeFileSync(join(directory, "file"), "text");
    symlinkSync("file", join(directory, "link"));
    symlinkSync(directory, join(directory, "again"));
    Bun.spawnSync(["mkfifo", join(directory, "pipe")]);
    mkdirSync(join(directory, "closed"), { mode: 0o700 });
    writeFileSync(join(directory, "closed", "file"), "text");
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  const read = async (name: string, more: Partial<Parameters<typeof readOwnedFile>[0]> = {}) =>
    (await readOwnedFile({ root: "", path: join(directory, name), uid, bytesMax: 100, ...more }))
      ?.text ?? null;

  test("reads a plain file, also through a directory that is a link", async () => {
    expect(await read("file")).toBe("text");
    expect(await read("again/file")).toBe("text");
  });

  test("reads nothing that is a link, a pipe, too large, missing, or another's", async () => {
    expect(await read("link")).toBeNull();
    expect(await read("pipe")).toBeNull();
    expect(await read("missing")).toBeNull();
    expect(await read("file", { bytesMax: 3 })).toBeNull();
    expect(await read("file", { uid: uid + 1 })).toBeNull();
  });

  test("in a container follows no link on the way", async () => {
    const root = `/proc/${process.pid}/root`;
    expect(await read("file", { root })).toBe("text");
    expect(await read("again/file", { root })).toBeNull();
    expect(await read("x/../file", { root, path: `${directory}/x/../../etc/passwd` })).toBeNull();
  });

  test.skipIf(uid !== 0)(
    "reads nothing behind a directory that is closed to its owner",
    async () => {
      chownSync(join(directory, "closed", "file"), 65534, 65534);
      expect(await read("closed/file", { uid: 65534 })).toBeNull();
      chmodSync(join(directory, "closed"), 0o711);
      expect(await read("closed/file", { uid: 65534 })).toBe("text");
    },
  );
});

const WRITE =
  "mkdir -p $HOME/.claude/sessions; write() { echo '{\"pid\":'$$',\"sessionId\":\"'$1'\"}' >$HOME/.claude/sessions/$$.json; }";

describe("a live agent", () => {
  let kit: Kit;
  beforeAll(async () => {
    kit = await createKit();
  });
  afterAll(() => kit.stop());

  function spawnClaude(script: string, name = newId()) {
    const home = join(kit.directory, name);
    mkdirSync(home);
    const path = kit.program(`${name}/claude`, script);
    const child = Bun.spawn([path], {
      stdio: ["pipe", "ignore", "ignore"],
      env: { PATH: "/usr/bin:/bin", HOME: home },
      cwd: home,
    });
    return { child, home };
  }
  const sessionOfPid = (pid: number): string | null | undefined =>
    kit.source.registry.list().find((agent) => agent.pid === pid)?.sessionId;
  const hasSession = (pid: number, session: string): Promise<boolean> =>
    waitFor(`session ${session}, not ${sessionOfPid(pid)}`, () => sessionOfPid(pid) === session);

  test("is tied by its register, follows a change, and keeps it to the end", async () => {
    const { child } = spawnClaude(
      `${WRITE}; write s-one; read line; write s-two; read line; exit 0`,
    );
    await hasSession(child.pid, "s-one");
    const agent = kit.source.registry.ofPid(child.pid);
    expect(agent).toMatchObject({ kind: "claude-code", uid: process.getuid?.() });
    expect(kit.source.isSessionProven(agent?.id ?? "")).toBe(true);
    await sendLine(child);
    await hasSession(child.pid, "s-two");
    await child.stdin.end();
    expect((await kit.exitOf(child.pid)).sessionId).toBe("s-two");
  });

  test("is tied by what it gives its children, and by the newest of them", async () => {
    const { child } = spawnClaude(
      "CLAUDE_CODE_SESSION_ID=s-old sleep 20 & read line; CLAUDE_CODE_SESSION_ID=s-new sleep 20 & read line; kill %1 %2; exit 0",
    );
    await hasSession(child.pid, "s-old");
    await sendLine(child);
    await hasSession(child.pid, "s-new");
    child.kill("SIGKILL");
    await kit.exitOf(child.pid);
  });

  test("in namespaces of its own is tied by its pid there, and has no directory of ours", async () => {
    const isolate = ["unshare", "--mount", "--pid", "--fork", "--mount-proc"];
    const works = Bun.spawnSync([...isolate, "true"], { stdio: ["ignore", "ignore", "ignore"] });
    if (!works.success) {
      console.log("skipped: this user cannot make namespaces");
      return;
    }
    const home = join(kit.directory, newId());
    mkdirSync(home);
    const path = kit.program(
      `${home.split("/").at(-1)}/claude`,
      `${WRITE}; write s-inside; read line`,
    );
    const outer = Bun.spawn([...isolate, path], {
      stdio: ["pipe", "ignore", "ignore"],
      env: { PATH: "/usr/bin:/bin:/usr/sbin:/sbin", HOME: home },
      cwd: home,
    });
    const agent = await waitFor("the session", () =>
      kit.source.registry.list().find(({ sessionId }) => sessionId === "s-inside"),
    );
    expect(agent).toMatchObject({ kind: "claude-code", cwd: null, workspace: null });
    expect(agent.pid).not.toBe(1);
    await outer.stdin.end();
    await kit.exitOf(agent.pid);
    await outer.exited;
  });

  test("takes an event's session only until it is known for sure", async () => {
    const { child, home } = spawnClaude(`${WRITE}; read line; write s-sure; read line`);
    await kit.started(child.pid);
    const event = toEvent({
      kind: "prompt",
      source: "claude-code",
      agent: "claude-code",
      sessionId: "s-claimed",
      timeMs: Date.now() + 1_000,
      data: { cwd: realpathSync(home) },
    });
    kit.source.noteEvent(event);
    expect(sessionOfPid(child.pid)).toBe("s-claimed");
    const { id } = kit.source.registry.ofPid(child.pid) ?? { id: "" };
    expect(kit.source.isSessionProven(id)).toBe(false);
    await sendLine(child);
    await hasSession(child.pid, "s-sure");
    kit.source.noteEvent({ ...event, sessionId: "s-later", timeMs: Date.now() + 5_000 });
    expect(sessionOfPid(child.pid)).toBe("s-sure");
    await child.stdin.end();
    await kit.exitOf(child.pid);
  });

  test("is not given the proven session of another one", async () => {
    const first = spawnClaude(`${WRITE}; write s-mine; read line`);
    const second = spawnClaude("read line");
    await hasSession(first.child.pid, "s-mine");
    await kit.started(second.child.pid);
    kit.source.noteEvent(
      toEvent({
        kind: "prompt",
        source: "claude-code",
        sessionId: "s-mine",
        pid: second.child.pid,
        timeMs: Date.now() + 1_000,
        data: {},
      }),
    );
    expect(sessionOfPid(second.child.pid)).toBeNull();
    for (const { child } of [first, second]) {
      await child.stdin.end();
      await kit.exitOf(child.pid);
    }
  });
});
