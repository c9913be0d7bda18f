// retry_limit: failures of one command are counted, runs are not.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import type { ObserverEvent } from "../../src/core/event.ts";
import {
  call,
  event,
  failing,
  findingsOf,
  passing,
  times,
  troubles,
} from "../support/detector-scenario.ts";

const scenarios: { name: string; events: ObserverEvent[]; troubles: string[] }[] = [
  { name: "four failures", events: times(4, () => failing("make")), troubles: [] },
  { name: "five failures", events: times(5, () => failing("make")), troubles: ["retry_limit"] },
  { name: "five passing runs", events: times(5, () => passing("make")), troubles: [] },
  {
    name: "a success in between",
    events: [
      ...times(4, () => failing("make")),
      ...passing("make"),
      ...times(4, () => failing("make")),
    ],
    troubles: [],
  },
  {
    name: "a success of another command in between",
    events: times(5, (i) => [...failing("make"), ...passing(`ls ${i}`)]),
    troubles: ["retry_limit"],
  },
  {
    name: "spellings that differ in white space",
    events: times(5, (i) => failing(`python3 ${" ".repeat(i)}-m  pytest `)),
    troubles: ["retry_limit"],
  },
  {
    name: "other descriptions and timeouts of one command",
    events: times(5, (i) =>
      call(
        "Bash",
        { command: "make", description: `try ${i}`, timeout: i },
        { ok: false, error: "no" },
      ),
    ),
    troubles: ["retry_limit"],
  },
  {
    name: "calls that have an id only in their results",
    events: times(5, (i) => [
      event("tool_call", { tool: "Bash", input: { command: "make" } }),
      event("tool_result", { tool: "Bash", call_id: `c${i}`, ok: false, error: "no" }),
    ]),
    troubles: ["retry_limit"],
  },
  { name: "five different commands", events: times(5, (i) => failing(`make ${i}`)), troubles: [] },
  {
    name: "one command in five sessions",
    events: times(5, (i) => failing("make", "no", { sessionId: `s${i}` })),
    troubles: [],
  },
  {
    name: "interrupted by the user",
    events: times(9, () =>
      call("Bash", { command: "make" }, { ok: false, error: "stopped", is_interrupt: true }),
    ),
    troubles: [],
  },
  {
    name: "arguments of another tool in any order of keys",
    events: times(6, (i) =>
      call("fetch", i % 2 === 0 ? { url: "u", n: 1 } : { n: 1, url: "u" }, {
        ok: false,
        error: "refused",
      }),
    ),
    troubles: ["retry_limit"],
  },
  {
    name: "edits of one file with different texts",
    events: times(6, (i) =>
      call("Edit", { file_path: "/a", old_string: `${i}` }, { ok: false, error: "not found" }),
    ),
    troubles: [],
  },
  {
    name: "a command given as argument vector",
    events: times(5, () =>
      call("shell", { command: ["bash", "-lc", "make all"] }, { ok: false, error: "no" }),
    ),
    troubles: ["retry_limit"],
  },
  {
    name: "an error without `ok`",
    events: times(5, () => [
      event("tool_call", { tool: "Bash", call_id: "c", input: { command: "make" } }),
      event("tool_result", { call_id: "c", error: "no" }),
    ]),
    troubles: ["retry_limit"],
  },
  {
    name: "error words in the output of a success",
    events: times(5, (i) =>
      passing("grep -rn error src", `${i}: throw new Error("fatal: out of memory")`),
    ),
    troubles: [],
  },
];

describe("retry_limit", () => {
  for (const { name, events, troubles: wanted } of scenarios) {
    test(`${name}: ${wanted.join(", ") || "silent"}`, () => {
      expect(troubles(events)).toEqual(wanted);
    });
  }

  test("says what failed, how often and with which error, and counts on", () => {
    const events = times(7, (i) => failing("make  all", `error ${i}`)).map((one) => ({
      ...one,
      agent: "codex",
      pid: 7,
      data: { ...one.data, cwd: "/w" },
    }));
    const found = findingsOf(events).filter(({ type }) => type === "retry_limit");
    expect(found.map(({ detail }) => detail["value"])).toEqual([5, 6, 7]);
    expect(found[0]).toMatchObject({
      summary: '"make all" failed 5 times',
      detail: { limit: 5, tool: "Bash", command: "make all", last_error: "error 4" },
      evidence: ["e2", "e4", "e6", "e8", "e10"],
      sessionId: "s1",
      agent: "codex",
      pid: 7,
      cwd: "/w",
    });
    expect(new Set(found.map(({ fingerprint }) => fingerprint)).size).toBe(1);
  });

  test("pairs a result without call id with the newest open call of its tool", () => {
    const events = times(5, (i) => [
      event("tool_call", { tool: "Bash", input: { command: `other ${i}` } }),
      event("tool_call", { tool: "Bash", input: { command: "make" } }),
      event("tool_result", { tool: "Bash", ok: false, error: "no" }),
    ]);
    expect(troubles(events)).toEqual(["retry_limit"]);
  });

  test("fires exactly when the failures since the last success reach the limit", () => {
    fc.assert(
      fc.property(
        fc.array(fc.boolean(), { maxLength: 40 }),
        fc.integer({ min: 1, max: 6 }),
        (oks, retryLimit) => {
          // Different commands around keep loops out of the picture.
          const events = oks.flatMap((ok, i) => [
            ...(ok ? passing("make") : failing("make")),
            ...passing(`ls ${i}`),
          ]);
          let row = 0;
          const wanted = oks.filter((ok) => {
            row = ok ? 0 : row + 1;
            return row >= retryLimit;
          });
          const found = findingsOf(events, { retryLimit }).filter(
            ({ type }) => type === "retry_limit",
          );
          expect(found).toHaveLength(wanted.length);
        },
      ),
    );
  });
});
