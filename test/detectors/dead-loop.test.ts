// dead_loop: what is a loop, what only looks like one, and what it takes over from retry_limit.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import type { ObserverEvent } from "../../src/core/event.ts";
import {
  call,
  event,
  failing,
  findingsOf,
  passing,
  rowsOf,
  times,
  troubles,
  withoutSession,
} from "../support/detector-scenario.ts";

const read = (path: string, output = `content of ${path}`): ObserverEvent[] =>
  call("Read", { file_path: path }, { output });
const edit = (path: string, text: string): ObserverEvent[] =>
  call("Edit", { file_path: path, old_string: "x", new_string: text }, { output: "edited" });
const write = (path: string, content: string): ObserverEvent[] =>
  call("Write", { file_path: path, content }, { output: "written" });
const stuckRound = (i = 0): ObserverEvent[] => [
  ...read("/w/cart.py"),
  ...edit("/w/cart.py", i % 2 === 0 ? "a" : "b"),
  ...failing("npm test"),
];

const scenarios: { name: string; events: ObserverEvent[]; troubles: string[] }[] = [
  {
    name: "read, edit, failing test, three rounds",
    events: times(3, () => stuckRound()),
    troubles: ["dead_loop"],
  },
  { name: "two rounds are not enough", events: times(2, () => stuckRound()), troubles: [] },
  {
    name: "an edit that flips between two texts",
    events: times(4, stuckRound),
    troubles: ["dead_loop"],
  },
  {
    name: "an edit that flips between four texts, from the round that repeats one",
    events: times(5, (i) => [
      ...read("/w/a"),
      ...edit("/w/a", `text ${i % 4}`),
      ...passing("make"),
    ]),
    troubles: ["dead_loop"],
  },
  {
    name: "an edit with new text in every round",
    events: times(4, (i) => [
      ...read("/w/a"),
      ...edit("/w/a", `text ${i}`),
      ...failing("npm test"),
    ]),
    troubles: [],
  },
  {
    name: "a write with new content in every round",
    events: times(9, (i) => [
      ...write("/w/a", `v${i}`),
      ...passing("npm test"),
      ...passing("git status"),
    ]),
    troubles: [],
  },
  {
    name: "fewer failing tests in every round",
    events: times(4, (i) => [
      ...read("/w/a"),
      ...edit("/w/a", "t"),
      ...failing("npm test", `${12 - i} failed`),
    ]),
    troubles: [],
  },
  {
    name: "results that differ in times, pids, addresses and temporary paths",
    events: times(3, (i) => [
      ...read("/w/a"),
      ...edit("/w/a", "t"),
      ...failing(
        "npm test",
        `2026-11-21T08:00:0${i}Z pid ${400 + i} at 0x7ffe000${i}00 in /tmp/run${i}x/out.log\n3 failed in 0.0${i}s`,
      ),
    ]),
    troubles: ["dead_loop"],
  },
  {
    name: "a period of six",
    events: times(3, () => ["a", "b", "c", "d", "e", "f"].flatMap((name) => read(`/w/${name}`))),
    troubles: ["dead_loop"],
  },
  {
    name: "a period of seven",
    events: times(5, () =>
      ["a", "b", "c", "d", "e", "f", "g"].flatMap((name) => read(`/w/${name}`)),
    ),
    troubles: [],
  },
  {
    name: "a period of two, nine times",
    events: times(9, () => [...read("/w/a"), ...read("/w/b")]),
    troubles: [],
  },
  {
    name: "a period of two, ten times",
    events: times(10, () => [...read("/w/a"), ...read("/w/b")]),
    troubles: ["dead_loop"],
  },
  { name: "one successful call nine times", events: times(9, () => read("/w/a")), troubles: [] },
  {
    name: "one successful call ten times",
    events: times(10, () => read("/w/a")),
    troubles: ["dead_loop"],
  },
  {
    name: "one failing call twenty times",
    events: times(20, () => failing("npm test")),
    troubles: ["retry_limit"],
  },
  {
    name: "a poll whose result changes",
    events: times(30, (i) => passing("gh run view 1", `step ${i} running`)),
    troubles: [],
  },
  {
    name: "a poll that takes a second each time",
    events: times(30, () =>
      call("Bash", { command: "gh run view 1" }, { output: "running", duration_ms: 1_000 }),
    ),
    troubles: [],
  },
  {
    name: "a poll with an explicit wait",
    events: times(9, () => [
      ...passing("sleep 30"),
      ...passing("gh run view 1"),
      ...passing("date +%s", "x"),
    ]),
    troubles: [],
  },
  {
    name: "a wait of less than a second is no wait",
    events: times(3, () => [
      ...passing("sleep 0.1"),
      ...passing("gh run view 1"),
      ...passing("ls", "x"),
    ]),
    troubles: ["dead_loop"],
  },
  {
    name: "slow failing calls are a loop, not polling",
    events: times(3, () => [
      ...call("Bash", { command: "make" }, { output: "", duration_ms: 5_000 }),
      ...call("Bash", { command: "make check" }, { ok: false, error: "no", duration_ms: 5_000 }),
      ...call("Bash", { command: "make clean" }, { output: "", duration_ms: 5_000 }),
    ]),
    troubles: ["dead_loop"],
  },
  {
    name: "a passing test again and again between new edits",
    events: times(12, (i) => [...edit("/w/a", `text ${i}`), ...passing("npm test")]),
    troubles: [],
  },
  {
    name: "new prompts from a person between the rounds",
    events: times(5, (i) => [event("prompt", { prompt: `now do ${i}` }), ...stuckRound()]).slice(
      0,
      40,
    ),
    troubles: ["retry_limit"],
  },
  {
    name: "the same prompt between the rounds",
    events: times(3, () => [event("prompt", { prompt: "continue" }), ...stuckRound()]),
    troubles: ["dead_loop"],
  },
  {
    name: "rounds that are split over two subagents",
    events: times(4, (i) =>
      ["/w/a", "/w/b", "/w/c"].flatMap((path) =>
        call("Read", { file_path: path }, { output: "x", agent_id: `agent-${i % 2}` }),
      ),
    ),
    troubles: [],
  },
  {
    name: "calls without a session",
    events: times(5, () => stuckRound()).map(withoutSession),
    troubles: [],
  },
  {
    name: "results whose call and input are unknown",
    events: times(30, () => [event("tool_result", { tool: "Bash", ok: true, output: "ok" })]),
    troubles: [],
  },
  {
    name: "results that carry their input themselves",
    events: times(3, () =>
      ["a", "b", "c"].map((name) =>
        event("tool_result", { tool: "Read", input: { file_path: name }, ok: true, output: name }),
      ),
    ),
    troubles: ["dead_loop"],
  },
];

describe("dead_loop", () => {
  for (const { name, events, troubles: wanted } of scenarios) {
    test(`${name}: ${wanted.join(", ") || "silent"}`, () => {
      expect(troubles(events)).toEqual(wanted);
    });
  }

  test("reports again at each further complete repetition, with the same fingerprint", () => {
    const loops = findingsOf(times(6, stuckRound)).filter(({ type }) => type === "dead_loop");
    expect(loops.map(({ detail }) => detail["value"])).toEqual([3, 4, 5, 6]);
    expect(loops[0]?.detail).toMatchObject({ limit: 3, period: 3 });
    expect(loops[0]?.summary).toBe(
      "Read /w/cart.py → Edit /w/cart.py → Bash npm test repeated 3 times, nothing new",
    );
    expect(rowsOf(loops)).toHaveLength(1);
  });

  test("takes over an open retry_limit in place", () => {
    const events = times(10, () => [...read("/w/a"), ...failing("npm test")]);
    const findings = findingsOf(events);
    expect(findings.some(({ type }) => type === "retry_limit")).toBe(true);
    expect(troubles(events)).toEqual(["dead_loop"]);
  });

  test("silences retry_limit while it goes on, also where both come at once", () => {
    expect(troubles(times(12, stuckRound))).toEqual(["dead_loop"]);
    expect(troubles(times(3, stuckRound), { retryLimit: 3 })).toEqual(["dead_loop"]);
  });

  test("lets retry_limit count anew once the loop is broken", () => {
    const broken = (failures: number): ObserverEvent[] => [
      ...times(4, stuckRound),
      ...edit("/w/cart.py", "something new"),
      ...times(failures, () => failing("npm test")),
    ];
    expect(troubles(broken(4))).toEqual(["dead_loop"]);
    expect(troubles(broken(5))).toEqual(["dead_loop", "retry_limit"]);
  });

  test("ends at a result that was not seen before", () => {
    const events = [
      ...times(4, () => stuckRound()),
      ...stuckRound().slice(0, 4),
      ...failing("npm test", "other"),
    ];
    const values = findingsOf(events)
      .filter(({ type }) => type === "dead_loop")
      .map(({ detail }) => detail["value"]);
    expect(values).toEqual([3, 4]);
  });

  test("does not take several calls in flight at once for repetitions", () => {
    const paths = times(3, () => ["/w/a", "/w/b", "/w/c"]);
    const calls = paths.map((path, i) =>
      event("tool_call", { tool: "Read", call_id: `c${i}`, input: { file_path: path } }),
    );
    fc.assert(
      fc.property(fc.shuffledSubarray([...paths.keys()], { minLength: 9 }), (order) => {
        const results = order.map((i) =>
          event("tool_result", { call_id: `c${i}`, ok: true, output: paths[i] }),
        );
        expect(troubles([...calls, ...results])).toEqual([]);
      }),
    );
  });

  test("finds every sequence of 3 to 6 different calls that repeats exactly, once, whatever its rotation", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(50), { minLength: 3, maxLength: 6 }),
        fc.nat(5),
        fc.integer({ min: 3, max: 8 }),
        fc.nat(5),
        (names, rotation, rounds, failingAt) => {
          const one = (name: number, i: number): ObserverEvent[] =>
            i === failingAt ? failing(`run ${name}`) : read(`/w/${name}`);
          const sequence = names.map(one);
          const start = rotation % sequence.length;
          const turned = [...sequence.slice(start), ...sequence.slice(0, start)];
          const loops = (order: ObserverEvent[][]): string[] =>
            rowsOf(findingsOf(times(rounds, () => order.flat())))
              .filter(({ type }) => type === "dead_loop")
              .map(({ fingerprint }) => fingerprint);
          expect(loops(turned)).toHaveLength(1);
          expect(loops(turned)).toEqual(loops(sequence));
        },
      ),
    );
  });

  test("never fires where each round writes text that was not written before", () => {
    const step = fc.oneof(
      fc.nat(2).map((i) => read(`/w/${i}`)),
      fc.nat(2).map((i) => passing(`cmd ${i}`)),
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 5 }), fc.nat(5), (round, at) => {
        const events = times(12, (i) =>
          round.toSpliced(at % (round.length + 1), 0, edit("/w/a", `new ${i}`)).flat(),
        );
        expect(troubles(events)).toEqual([]);
      }),
    );
  });
});
