// Results before their calls: each call has one result, and what waits is bounded.

import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { createEarlyResults } from "../../src/detectors/early-results.ts";
import { call, event, failing, findingsOf, times, troubles } from "../support/detector-scenario.ts";

const started = (id: string, command = "make") =>
  event("tool_call", { tool: "Bash", call_id: id, input: { command } });
const failed = (id: string, extra: object = {}) =>
  event("tool_result", { tool: "Bash", call_id: id, ok: false, error: "no", ...extra });
const exit = event("process_exit", { exit_code: 1 }, { pid: 7 });

test("take gives a held result once, and none to a call whose id was used before", () => {
  const early = createEarlyResults<number>();
  early.hold("a", 1);
  early.hold("a", 2);
  expect([early.take("a"), early.take("a")]).toEqual([1, undefined]);
  early.matched("b");
  early.hold("b", 3);
  expect([early.take("b"), early.take("b")]).toEqual([undefined, undefined]);
});

test("hold forgets the oldest of more than 32", () => {
  const early = createEarlyResults<number>();
  for (let i = 0; i < 33; i += 1) early.hold(`${i}`, i);
  expect([early.take("0"), early.take("1"), early.take("32")]).toEqual([undefined, 1, 32]);
});

test("retry_limit counts failures whose results came before their calls, and names the results", () => {
  const events = times(5, (i) => [failed(`c${i}`), started(`c${i}`)]);
  expect(troubles(events)).toEqual(["retry_limit"]);
  const [found] = findingsOf(events).filter(({ type }) => type === "retry_limit");
  expect(found?.evidence).toEqual(["e1", "e3", "e5", "e7", "e9"]);
  expect(found?.detail).toMatchObject({ command: "make", last_error: "no" });
  expect(findingsOf(events).filter(({ type }) => type === "tool_failure")).toHaveLength(5);
});

test("retry_limit counts an early result that carries its own input once", () => {
  const input = { command: "make" };
  const events = (count: number) =>
    times(count, (i) => [failed(`c${i}`, { input }), started(`c${i}`)]);
  expect(troubles(events(4))).toEqual([]);
  expect(troubles(events(5))).toEqual(["retry_limit"]);
});

test("retry_limit counts no early result that the user interrupted", () => {
  const events = times(9, (i) => [failed(`c${i}`, { is_interrupt: true }), started(`c${i}`)]);
  expect(troubles(events)).toEqual([]);
});

test("retry_limit takes a result that is told twice for no result of the next call of that id", () => {
  const passed = event("tool_result", { tool: "Bash", call_id: "c", ok: true });
  const round = [started("c"), failed("c"), failed("c"), started("c"), passed];
  expect(troubles(times(9, () => round))).toEqual([]);
});

test("dead_loop is found whichever of call and result comes first", () => {
  const events = times(4, (round) =>
    ["a", "b", "c"].flatMap((name) => {
      const id = `${name}${round}`;
      const result = event("tool_result", { tool: "Bash", call_id: id, output: name });
      return [result, started(id, `cat ${name}`)];
    }),
  );
  expect(troubles(events)).toEqual(["dead_loop"]);
});

test("agent_crash does not take a call whose result came first for open", () => {
  expect(troubles([failed("c"), started("c"), exit])).toEqual([]);
  expect(troubles([failed("c"), started("c"), started("d"), exit])).toEqual(["agent_crash"]);
  expect(troubles([started("c"), failed("c"), failed("c"), started("c"), exit])).toEqual([
    "agent_crash",
  ]);
});

test("an early result is no ghost for calls without ids", () => {
  const events = [failed("c"), started("c", "ls"), ...times(5, () => failing("make"))];
  const plain = call("Bash", { command: "ls" });
  expect(troubles([...events, ...plain, exit])).toEqual(["retry_limit"]);
});

test("retry_limit and agent_crash find the same in every order within a batch of calls", () => {
  const ids = times(6, (i) => [`c${i}`]);
  const batch = ids.flatMap((id) => [started(id), failed(id)]);
  fc.assert(
    fc.property(fc.shuffledSubarray(batch, { minLength: batch.length }), (order) => {
      const found = findingsOf([...order, exit]).filter(({ type }) => type !== "tool_failure");
      expect(found.map(({ type, detail }) => [type, detail["value"]])).toEqual([
        ["retry_limit", 5],
        ["retry_limit", 6],
      ]);
    }),
  );
});
