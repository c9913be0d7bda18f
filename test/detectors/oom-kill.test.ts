// oom_kill: one kill is one trouble, whoever tells of it and in whatever order.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import type { EventData, ObserverEvent } from "../../src/core/event.ts";
import type { Finding } from "../../src/core/interruption.ts";
import { createInterruptions } from "../../src/pipeline/interruptions.ts";
import {
  event,
  findingsOf,
  inOrder,
  rowsOf,
  START_MS,
  times,
  troubles,
  withoutSession,
} from "../support/detector-scenario.ts";

const CGROUP = "/sys/fs/cgroup/memory/observer/run-1";
type Extra = Partial<Omit<ObserverEvent, "data" | "kind">>;

const kmsg = (pid: number, data: EventData = {}, extra: Extra = {}): ObserverEvent =>
  event(
    "oom_kill",
    { sources: ["kmsg"], victim_pid: pid, comm: "hog", constraint: "memcg", ...data },
    { pid, ...extra },
  );
const counter = (data: EventData = {}, extra: Extra = {}): ObserverEvent =>
  event("oom_kill", { sources: ["memory.oom_control"], cgroup: CGROUP, ...data }, extra);
const killed = (pid: number, extra: Extra = {}, data: EventData = {}): ObserverEvent =>
  event("process_exit", { signal: "SIGKILL", ...data }, { pid, ...extra });
const at = (ms: number): Extra => ({ timeMs: START_MS + ms });

/** The rows as the pipeline makes them. */
function interruptionsOf(events: ObserverEvent[]) {
  let next = 0;
  const interruptions = createInterruptions({
    host: "h",
    quietMs: 1_800_000,
    newId: () => `i${(next += 1)}`,
    now: () => START_MS,
    workspaceOf: () => null,
  });
  const rows = new Set(findingsOf(events).flatMap((it) => interruptions.apply(it)));
  return [...new Set([...rows].map(({ interruption }) => interruption))].filter(
    ({ resolvedMs }) => resolvedMs === null,
  );
}

function permutations<T>(items: T[]): T[][] {
  if (items.length < 2) return [items];
  return items.flatMap((item, i) =>
    permutations(items.toSpliced(i, 1)).map((rest) => [item, ...rest]),
  );
}

const names = (events: ObserverEvent[]): string =>
  events.map(({ kind, data }) => (data["sources"] as string[] | undefined)?.[0] ?? kind).join(", ");

describe("oom_kill joins the proofs of one kill", () => {
  const proofs = [
    kmsg(7, { cgroup: CGROUP, memory_limit_bytes: 200 }),
    counter({ memory_usage_bytes: 199, memory_limit_bytes: 200 }),
    killed(7),
  ];
  for (const order of permutations(proofs)) {
    test(`in the order ${names(order)}`, () => {
      const [row, ...others] = interruptionsOf(order);
      expect(others).toEqual([]);
      expect(row).toMatchObject({ type: "oom_kill", severity: "critical", count: 1, pid: 7 });
      expect(row?.detail).toMatchObject({
        victim_pid: 7,
        comm: "hog",
        constraint: "memcg",
        memory_limit_bytes: 200,
        memory_usage_bytes: 199,
        cgroup: CGROUP,
      });
      const sources = row?.detail["sources"] as string[];
      expect(sources.toSorted()).toEqual(["exit_signal", "kmsg", "memory.oom_control"]);
      expect(row?.evidence.toSorted()).toEqual(["e1", "e2", "e3"]);
      expect(row?.sessionId).toBe("s1");
    });
  }

  test("when only some of them know the session", () => {
    const known = interruptionsOf([event("prompt", { prompt: "go" }, { pid: 7 }), killed(7)]);
    expect(known.map(({ type }) => type)).toEqual(["agent_crash"]);
    for (const order of permutations([
      withoutSession(kmsg(7, { cgroup: CGROUP })),
      counter(),
      withoutSession(killed(7)),
    ])) {
      const rows = interruptionsOf(order);
      expect(rows.map(({ type }) => type)).toEqual(["oom_kill"]);
      expect(rows[0]?.sessionId).toBe("s1");
    }
  });

  test("when the log names the cgroup from the root of its hierarchy", () => {
    const rows = interruptionsOf(
      [kmsg(7, { cgroup: "/observer/run-1" }), counter()].map(withoutSession),
    );
    expect(rows.map(({ detail }) => detail["sources"])).toEqual([["kmsg", "memory.oom_control"]]);
  });

  test("of an agent without a session, by the agent's pid", () => {
    for (const order of permutations([counter({ agent_pid: 7 }), killed(7)].map(withoutSession))) {
      expect(interruptionsOf(order).map(({ type }) => type)).toEqual(["oom_kill"]);
    }
  });

  test("two kills in one cgroup within a second stay two, in every order of their proofs", () => {
    const all = [
      kmsg(7, { cgroup: CGROUP }),
      kmsg(8, { cgroup: CGROUP }),
      counter(),
      counter(),
      killed(7),
      killed(8),
    ].map((one, i) => ({ ...one, id: `p${i}` }));
    for (const order of permutations(all)) {
      const rows = interruptionsOf(order).filter(({ type }) => type === "oom_kill");
      if (rows.length !== 2) throw new Error(`${rows.length} rows for ${names(order)}`);
      const pids = new Set(rows.map(({ detail }) => detail["victim_pid"]));
      expect(pids).toEqual(new Set([7, 8]));
    }
  });

  test("two kills that only a counter and two exits tell of are two", () => {
    const rows = interruptionsOf([counter(), counter(), killed(7), killed(8)]);
    expect(rows.map(({ type, detail }) => [type, detail["victim_pid"]])).toEqual([
      ["oom_kill", 7],
      ["oom_kill", 8],
    ]);
  });

  test("a counter that counts one kill twice makes no second one", () => {
    expect(troubles([counter(), counter(), kmsg(7, { cgroup: CGROUP }), killed(7)])).toEqual([
      "oom_kill",
    ]);
  });

  test("proofs that are further apart than a second are of two kills, but for the same pid", () => {
    expect(troubles([counter({}, at(0)), counter({}, at(1_500))])).toHaveLength(2);
    expect(troubles([kmsg(7, {}, at(0)), killed(7, at(8_000))])).toEqual(["oom_kill"]);
    expect(troubles([kmsg(7, {}, at(0)), kmsg(7, {}, at(60_000))])).toHaveLength(2);
  });

  test("kills of two cgroups of one session are two", () => {
    const other = counter({ cgroup: "/sys/fs/cgroup/memory/other" });
    expect(troubles([counter(), other])).toHaveLength(2);
  });
});

describe("oom_kill and agent_crash", () => {
  test("SIGKILL alone is a crash and no oom_kill", () => {
    expect(troubles([killed(7)])).toEqual(["agent_crash"]);
  });

  test("a crash that was opened first becomes the oom_kill in place", () => {
    const [row, ...others] = interruptionsOf([killed(7), kmsg(7)]);
    expect(others).toEqual([]);
    expect(row).toMatchObject({ id: "i1", type: "oom_kill", count: 1 });
    expect(row?.detail["escalated_from"]).toBe("agent_crash");
    expect(row?.evidence).toEqual(["e1", "e2"]);
  });

  test("a crash that the session's end told of becomes it too, with what follows", () => {
    const told = [event("session_end", { exit_code: 137 }), killed(7), kmsg(7), counter()];
    expect(interruptionsOf(told).map(({ type }) => type)).toEqual(["oom_kill"]);
  });

  test("a crash whose session the kernel's proof does not know", () => {
    const events = [event("prompt", { prompt: "go" }, { pid: 7 }), killed(7), kmsg(7)];
    const rows = interruptionsOf(events.map((one, i) => (i > 1 ? withoutSession(one) : one)));
    expect(rows.map(({ type, sessionId }) => [type, sessionId])).toEqual([["oom_kill", "s1"]]);
  });

  test("two rows that turn out to be one death become one", () => {
    const rows = interruptionsOf([
      withoutSession(counter()),
      killed(7, { sessionId: "s1" }),
      withoutSession(kmsg(7, { cgroup: CGROUP })),
    ]);
    expect(rows.map(({ type }) => type)).toEqual(["oom_kill"]);
    expect(rows[0]?.evidence.toSorted()).toEqual(["e1", "e2", "e3"]);
  });

  test("a death told seconds later by its session is explained", () => {
    const end = event("session_end", { exit_code: 137 }, at(9_000));
    expect(troubles([kmsg(7, {}, at(0)), end])).toEqual(["oom_kill"]);
  });

  test("the agent's own death after the kill of its child is a crash", () => {
    const prompt = event("prompt", { prompt: "go" }, { pid: 7 });
    expect(troubles([prompt, kmsg(8), killed(7)])).toEqual(["oom_kill", "agent_crash"]);
  });

  test("a fault is none, and is not explained by the kill of another process", () => {
    const fault = event("process_exit", { signal: "SIGSEGV" }, { pid: 7 });
    expect(troubles([kmsg(99), fault])).toEqual(["oom_kill", "agent_crash"]);
  });

  test("a kill by observer proves nothing", () => {
    const [row] = interruptionsOf([counter(), killed(7, {}, { killed_by: "observer" })]);
    expect(row?.detail["sources"]).toEqual(["memory.oom_control"]);
  });

  test("the kill of an agent's child belongs to the agent's session and is no crash", () => {
    const events = [event("prompt", { prompt: "go" }, { pid: 7 }), killed(8, {}, { child: true })];
    const rows = interruptionsOf([...events, kmsg(8)]);
    expect(rows.map(({ type, sessionId, pid }) => [type, sessionId, pid])).toEqual([
      ["oom_kill", "s1", 8],
    ]);
  });
});

describe("oom_kill of any reporter", () => {
  test("an event without sources is of source reported", () => {
    const [finding] = findingsOf([event("oom_kill", { sources: [7, ""] }, { pid: 7 })]);
    expect(finding?.detail).toEqual({
      victim_pid: 7,
      comm: null,
      sources: ["reported"],
      constraint: null,
      memory_limit_bytes: null,
      memory_usage_bytes: null,
    });
  });

  test("the kill of a process that is nobody's has no session", () => {
    const [row] = interruptionsOf([withoutSession(kmsg(99, { constraint: "global" }))]);
    expect(row).toMatchObject({ type: "oom_kill", sessionId: null, agent: null, pid: 99 });
    expect(row?.summary).toBe(
      "hog (pid 99) was killed by the kernel: the machine was out of memory",
    );
  });

  test("the kernel's word on a process that is nobody's is none until a death shows whose it was", () => {
    const kernel = { source: "kernel" };
    const nobodys = withoutSession(kmsg(99, {}, kernel));
    expect(interruptionsOf([nobodys])).toEqual([]);
    const [row] = interruptionsOf([nobodys, killed(99, kernel)]);
    expect(row).toMatchObject({ type: "oom_kill", sessionId: "s1", pid: 99, count: 1 });
    expect(row?.detail["sources"]).toEqual(["kmsg", "exit_signal"]);
  });

  test("each kill is its own trouble", () => {
    const events = times(3, (i) => [kmsg(7 + i), killed(7 + i)]);
    expect(rowsOf(findingsOf(events)).map(({ count }) => count)).toEqual([1, 1, 1]);
  });

  test("another machine's proofs are another kill's", () => {
    expect(troubles([kmsg(7), killed(7, { host: "other" })])).toEqual(["oom_kill", "agent_crash"]);
  });

  test("whatever comes, a proof never opens a second row for one pid", () => {
    const one = fc.oneof(
      fc.constant(kmsg(7, { cgroup: CGROUP })),
      fc.constant(killed(7)),
      fc.constant(withoutSession(killed(7))),
      fc.constant(event("session_end", { exit_code: 137 })),
      fc.constant(event("prompt", { prompt: "go" }, { pid: 7 })),
    );
    fc.assert(
      fc.property(fc.array(one, { maxLength: 6 }), (events) => {
        const rows = interruptionsOf([kmsg(7, { cgroup: CGROUP }), ...inOrder(events)]);
        const kills = rows.filter(({ type }: Pick<Finding, "type">) => type === "oom_kill");
        expect(kills).toHaveLength(1);
        expect(rows).toHaveLength(1);
      }),
    );
  });
});
