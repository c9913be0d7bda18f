// agent_crash: exit facts decide, and whether work was under way.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import type { EventData, ObserverEvent } from "../../src/core/event.ts";
import {
  event,
  findingsOf,
  passing,
  rowsOf,
  START_MS,
  times,
  troubles,
  withoutSession,
} from "../support/detector-scenario.ts";

const exit = (data: EventData, extra: Partial<ObserverEvent> = {}): ObserverEvent[] => [
  event("process_exit", data, { pid: 7, ...extra }),
];
const prompt = event("prompt", { prompt: "go" });
const turnEnd = event("note", { note: "turn_end" });
const openCall = event("tool_call", { tool: "Bash", call_id: "c1", input: { command: "make" } });

const scenarios: { name: string; events: ObserverEvent[]; found: number }[] = [
  ...["KILL", "SIGKILL", "sigsegv", "SIGABRT", "BUS", "SIGILL"].map((signal) => ({
    name: `signal ${signal}`,
    events: exit({ signal }),
    found: 1,
  })),
  ...["TERM", "SIGTERM", "SIGINT", "int", "SIGHUP"].map((signal) => ({
    name: `signal ${signal} while work was under way`,
    events: [prompt, openCall, ...exit({ signal })],
    found: 0,
  })),
  ...[137, 139, 134, 135, 132, -9].map((exit_code) => ({
    name: `exit code ${exit_code} without a signal`,
    events: exit({ exit_code }),
    found: 1,
  })),
  {
    name: "signal KILL of an agent without a session and a process id",
    events: [withoutSession(event("process_exit", { signal: "KILL" }, { agent: "a" }))],
    found: 1,
  },
  ...[{ call: "c1" }, { result: "c1" }].map(({ call, result }) => ({
    name: `exit code 1 after a call that has an id ${call ? "only itself" : "only in its result"}`,
    events: [
      event("tool_call", { tool: "Bash", input: {}, ...(call && { call_id: call }) }),
      event("tool_result", { tool: "Bash", ok: true, ...(result && { call_id: result }) }),
      ...exit({ exit_code: 1 }),
    ],
    found: 0,
  })),
  ...[0, 143, 130, 129].map((exit_code) => ({
    name: `exit code ${exit_code} while work was under way`,
    events: [prompt, ...exit({ exit_code })],
    found: 0,
  })),
  {
    name: "SIGTERM that dumped core",
    events: exit({ signal: "SIGTERM", core_dumped: true }),
    found: 1,
  },
  { name: "exit code 1 with nothing under way", events: exit({ exit_code: 1 }), found: 0 },
  {
    name: "exit code 1 said to be in flight",
    events: exit({ exit_code: 1, in_flight: true }),
    found: 1,
  },
  {
    name: "exit code 1 said not to be in flight",
    events: [prompt, ...exit({ exit_code: 1, in_flight: false })],
    found: 0,
  },
  { name: "exit code 1 in a turn", events: [prompt, ...exit({ exit_code: 1 })], found: 1 },
  {
    name: "exit code 1 after the turn",
    events: [prompt, turnEnd, ...exit({ exit_code: 1 })],
    found: 0,
  },
  {
    name: "exit code 1 with an open call",
    events: [openCall, ...exit({ exit_code: 1 })],
    found: 1,
  },
  {
    name: "exit code 1 after the call",
    events: [...passing("make"), ...exit({ exit_code: 1 })],
    found: 0,
  },
  {
    name: "exit code 1 of another process of the session",
    events: [{ ...prompt, pid: 7 }, ...exit({ exit_code: 1 }, { pid: 8 })],
    found: 0,
  },
  ...[{ signal: "SIGKILL" }, { exit_code: 139 }, { signal: "SIGTERM", core_dumped: true }].map(
    (data) => ({
      name: `${JSON.stringify(data)} of another process than the agent's`,
      events: [{ ...prompt, pid: 7 }, ...exit(data, { pid: 8 })],
      found: 0,
    }),
  ),
  {
    name: "a crash signal of a process that is said to be a child",
    events: [prompt, ...exit({ signal: "SIGSEGV", child: true })],
    found: 0,
  },
  {
    name: "exit code 1 of the agent after a child's exit",
    events: [prompt, ...exit({ exit_code: 1, child: true }), ...exit({ exit_code: 1 })],
    found: 1,
  },
  {
    name: "a crash signal of the agent's process",
    events: [{ ...prompt, pid: 7 }, ...exit({ signal: "SIGSEGV" })],
    found: 1,
  },
  {
    name: "a crash signal where only process events named a pid",
    events: [prompt, event("process_start", {}, { pid: 8 }), ...exit({ signal: "SIGSEGV" })],
    found: 1,
  },
  {
    name: "a crash of the agent told after the session went on under another pid",
    events: [{ ...prompt, pid: 7 }, { ...prompt, pid: 9 }, ...exit({ signal: "SIGKILL" })],
    found: 1,
  },
  {
    name: "an exit that knows only the pid of a session in a turn",
    events: [{ ...prompt, pid: 7 }, ...exit({ exit_code: 1 }).map(withoutSession)],
    found: 1,
  },
  {
    name: "an exit without session, by KILL",
    events: exit({ signal: "KILL" }).map(withoutSession),
    found: 1,
  },
  {
    name: "session end for an ordinary reason",
    events: [prompt, event("session_end", { reason: "other" })],
    found: 0,
  },
  {
    name: "session end with a crash",
    events: [event("session_end", { signal: "SIGSEGV" })],
    found: 1,
  },
  {
    name: "an error event with exit facts",
    events: [event("error", { exit_code: 139 })],
    found: 1,
  },
  {
    name: "an error event that speaks of a crash",
    events: [event("error", { error: "killed by SIGKILL" })],
    found: 0,
  },
  {
    name: "one death told by process and session",
    events: [prompt, ...exit({ signal: "SIGKILL" }), event("session_end", { exit_code: 137 })],
    found: 1,
  },
  {
    name: "two deaths a minute apart",
    events: [0, 60_000].flatMap((ms) => exit({ signal: "SIGKILL" }, { timeMs: START_MS + ms })),
    found: 2,
  },
  {
    name: "two processes that die at once",
    events: [7, 8].flatMap((pid) => exit({ signal: "SIGKILL" }, { pid })),
    found: 2,
  },
  {
    name: "a kill by observer itself",
    events: [prompt, ...exit({ signal: "SIGKILL", killed_by: "observer" })],
    found: 0,
  },
];

describe("agent_crash", () => {
  for (const { name, events, found } of scenarios) {
    test(`${name}: ${found === 0 ? "silent" : found}`, () => {
      expect(troubles(events)).toEqual(times(found, () => ["agent_crash"]));
    });
  }

  test("reports the exit facts with session, agent and directory of the run", () => {
    const start = { ...event("prompt", { prompt: "go", cwd: "/w" }), agent: "codex", pid: 7 };
    const [finding] = findingsOf([start, ...exit({ signal: "SIGKILL" }).map(withoutSession)]);
    expect(finding).toMatchObject({
      summary: "codex (pid 7) died of SIGKILL while work was under way",
      detail: { exit_code: null, signal: "SIGKILL", core_dumped: false, in_flight: true },
      sessionId: "s1",
      agent: "codex",
      pid: 7,
      cwd: "/w",
      evidence: ["e2"],
    });
  });

  test("makes each death its own trouble", () => {
    const events = times(3, (i) => exit({ signal: "KILL" }, { timeMs: START_MS + i * 60_000 }));
    expect(rowsOf(findingsOf(events))).toHaveLength(3);
  });

  test("stays silent for every exit with code 0 and every orderly signal, whatever went before", () => {
    const before = fc.array(fc.constantFrom(prompt, turnEnd, openCall, ...passing("make")));
    const orderly = fc.constantFrom<EventData>(
      { exit_code: 0 },
      { signal: "SIGTERM" },
      { exit_code: 130 },
    );
    fc.assert(
      fc.property(before, orderly, (events, end) => {
        expect(troubles([...events, ...exit(end)])).not.toContain("agent_crash");
      }),
    );
  });
});
