// The store on a real file: what is committed is there after a kill, once, and every list really filters.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { Database } from "bun:sqlite";
import { chmodSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Interruption } from "../../src/core/interruption.ts";
import { lockDirectory } from "../../src/store/database.ts";
import { createStore, type Store } from "../../src/store/store.ts";
import { storedEvent } from "../support/events.ts";
import { withTempDirectory } from "../support/temp-directory.ts";

const ALL = { limit: 100, filters: {} };

function open(directory: string): Store {
  return createStore({ directory, durability: "normal", host: "here" });
}

function commit(store: Store, events: ReturnType<typeof storedEvent>[]): void {
  store.commit({ events, openedInterruptions: [], changedInterruptions: [], reactions: [] });
}

function interruption(fields: Partial<Interruption> = {}): Interruption {
  return {
    id: "i1",
    type: "dead_loop",
    severity: "critical",
    host: "here",
    fingerprint: "f",
    sessionId: "s",
    agent: null,
    workspace: "/w",
    pid: null,
    timeMs: 5,
    detectedMs: 6,
    summary: "x",
    detail: { a: 1 },
    evidence: ["e"],
    count: 1,
    firstMs: 5,
    lastMs: 5,
    resolvedMs: null,
    ...fields,
  };
}

test("a session ends with its agent's process, not with a child's or by a sender's word, and goes on with a new one", () =>
  withTempDirectory(async (directory) => {
    const store = open(directory);
    const exit = { sessionId: "s", kind: "process_exit" } as const;
    const kernel = { ...exit, source: "kernel" };
    const ended = () => store.sessions.get("s");
    commit(store, [storedEvent(1, { ...exit, data: { signal: "SIGKILL" } })]);
    commit(store, [storedEvent(2, { ...kernel, data: { child: true, signal: "SIGKILL" } })]);
    expect(ended()).toMatchObject({ endedMs: null });
    commit(store, [storedEvent(3, { ...kernel, data: { signal: "SIGKILL" } })]);
    expect(ended()).toMatchObject({ endedMs: 1_000_003, endReason: "SIGKILL" });
    commit(store, [storedEvent(4, { ...kernel, kind: "process_start" })]);
    expect(ended()).toMatchObject({ endedMs: null, endReason: null });
    commit(store, [storedEvent(5, { ...kernel, data: { exit_code: 0 } })]);
    expect(ended()).toMatchObject({ endedMs: 1_000_005, endReason: "exit" });
    store.close();
  }));

test("store keeps events, sessions and sums that were never settled", () =>
  withTempDirectory(async (directory) => {
    const store = open(directory);
    commit(store, [
      storedEvent(1, { sessionId: "s", kind: "session_start", agent: "claude-code" }),
      storedEvent(2, { sessionId: "s", kind: "tool_call", data: { tool: "Bash" } }),
      storedEvent(3, { sessionId: "s", kind: "tool_result", data: { ok: false } }),
      storedEvent(4, { kind: "operation", source: "scenario", data: { success: true } }),
      storedEvent(5, { id: "mine" }),
    ]);
    // No close: what a killed process leaves behind. A second handle reads the same file.
    const again = open(directory);
    const session = again.sessions.get("s");
    expect(session).toMatchObject({ events: 3, toolCalls: 1, errors: 1, agent: "claude-code" });
    expect(again.known("test", "mine", null)).toEqual({ seq: 5, sameBody: true });
    expect(again.ring.stats()).toMatchObject({
      total: 1,
      successes: 1,
      by_source: { scenario: 1 },
      all_time: { total: 1, successes: 1, failures: 0 },
    });
    expect(again.nextSeq()).toBe(6);
    const third = open(directory);
    expect(third.sessions.get("s")?.events).toBe(3);
    expect(third.ring.stats().all_time.total).toBe(1);
  }));

test("a session keeps its agent's pid when a child of it exits", () =>
  withTempDirectory((directory) => {
    const store = open(directory);
    commit(store, [
      storedEvent(1, { sessionId: "s", kind: "session_start", pid: 100 }),
      storedEvent(2, { sessionId: "s", kind: "process_exit", pid: 200, data: { exit_code: 1 } }),
      storedEvent(3, { sessionId: "t", kind: "process_exit", pid: 300 }),
    ]);
    expect(store.sessions.get("s")?.pid).toBe(100);
    expect(store.sessions.get("t")?.pid).toBe(300);
  }));

test("store recognises a used id by its body, also after a restart without settling", () =>
  withTempDirectory((directory) => {
    const store = open(directory);
    const event = { ...storedEvent(1, { id: "x" }), given: { digest: 7 } };
    commit(store, [event]);
    for (const each of [store, open(directory)]) {
      expect(each.known("test", "x", 7)?.sameBody).toBe(true);
      expect(each.known("test", "x", 8)?.sameBody).toBe(false);
      expect(each.known("test", "x", null)?.sameBody).toBe(true);
      expect(each.known("other", "x", 7)).toBeNull();
    }
  }));

test("events.list filters by envelope and data fields, pages by cursor, newest first", () =>
  withTempDirectory(async (directory) => {
    const store = open(directory);
    commit(
      store,
      Array.from({ length: 1_500 }, (_, index) =>
        storedEvent(index + 1, {
          kind: index % 3 === 0 ? "tool_call" : "note",
          ...(index % 2 === 0 ? { sessionId: "even" } : {}),
          data: { tool: index % 5 === 0 ? "Bash" : "Read", n: index },
        }),
      ),
    );
    const first = await store.events.list({
      limit: 10,
      filters: { session_id: "even", kind: "tool_call", tool: "Bash" },
    });
    expect(first.items.map(({ data }) => data["n"])).toEqual([
      1470, 1440, 1410, 1380, 1350, 1320, 1290, 1260, 1230, 1200,
    ]);
    const seen = new Set<number>();
    let cursor: string | null = null;
    do {
      const page: Awaited<ReturnType<typeof store.events.list>> = await store.events.list({
        limit: 7,
        filters: { session_id: "even" },
        ...(cursor === null ? {} : { cursor }),
      });
      for (const { seq } of page.items) seen.add(seq);
      cursor = page.nextCursor;
    } while (cursor !== null);
    expect(seen.size).toBe(750);
    const window = await store.events.list({ ...ALL, sinceMs: 1_000_005, untilMs: 1_000_007 });
    expect(window.items.map(({ seq }) => seq)).toEqual([7, 6, 5]);
    expect(
      (await store.events.list({ ...ALL, filters: { pid: "null" }, limit: 3 })).items,
    ).toHaveLength(3);
    expect(store.events.list({ ...ALL, cursor: "1 OR 1" })).rejects.toThrow("cursor");
  }));

test("events.get finds an event by its given id and by observer's own", () =>
  withTempDirectory((directory) => {
    const store = open(directory);
    commit(store, [storedEvent(1, { id: "given" }), storedEvent(2)]);
    expect(store.events.get("given")?.seq).toBe(1);
    expect(store.events.get(store.ownId(2))?.seq).toBe(2);
    expect(store.events.get("absent")).toBeNull();
    expect(store.events.get(store.ownId(99))).toBeNull();
  }));

test("interruptions.list filters every shown field and refuses others by name", () =>
  withTempDirectory(async (directory) => {
    const store = open(directory);
    store.commit({
      events: [],
      openedInterruptions: [
        interruption(),
        interruption({ id: "i2", severity: "low", resolvedMs: 9, sessionId: null }),
      ],
      changedInterruptions: [],
      reactions: [],
    });
    const ids = async (filters: Record<string, string>): Promise<string[]> =>
      (await store.interruptions.list({ limit: 10, filters })).items.map(({ id }) => id);
    expect(await ids({})).toEqual(["i2", "i1"]);
    expect(await ids({ severity: "critical" })).toEqual(["i1"]);
    expect(await ids({ session_id: "null" })).toEqual(["i2"]);
    expect(await ids({ resolved_at: "null" })).toEqual(["i1"]);
    expect(await ids({ detected_ms: "1" })).toEqual(["i2", "i1"]);
    expect(await ids({ first_time: "1970-01-01T00:00:00.005Z" })).toEqual(["i2", "i1"]);
    expect(ids({ bogus: "1" })).rejects.toThrow('"bogus"');
    expect(ids({ count: "many" })).rejects.toThrow('"count" must be a number');
  }));

test("commit keeps nothing of a batch when one row is refused", () =>
  withTempDirectory((directory) => {
    const store = open(directory);
    expect(() => commit(store, [storedEvent(1), storedEvent(2, { timeMs: 1.5 })])).toThrow();
    expect(store.nextSeq()).toBe(1);
    commit(store, [storedEvent(1)]);
    expect(store.nextSeq()).toBe(2);
  }));

test("openStore refuses a database of a newer observer", () =>
  withTempDirectory((directory) => {
    open(directory).close();
    const raw = new Database(join(directory, "observer.db"));
    raw.run("PRAGMA user_version = 99");
    raw.close();
    expect(() => open(directory)).toThrow("newer");
  }));

test("recentEvents starts at the given receipt time", () =>
  withTempDirectory((directory) => {
    const store = open(directory);
    commit(
      store,
      Array.from({ length: 50 }, (_, index) => storedEvent(index + 1, { receivedMs: index * 10 })),
    );
    expect([...store.recentEvents(400, 100)].map(({ seq }) => seq)).toEqual([
      41, 42, 43, 44, 45, 46, 47, 48, 49, 50,
    ]);
    expect([...store.recentEvents(-1, 100)]).toHaveLength(50);
    expect([...store.recentEvents(1_000, 100)]).toHaveLength(0);
    expect([...store.recentEvents(400, 3)].map(({ seq }) => seq)).toEqual([48, 49, 50]);
  }));

test("session sums equal the sums over its events, wherever the store was reopened", () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          session: fc.constantFrom("a", "b"),
          kind: fc.constantFrom("tool_call" as const, "tool_result" as const, "llm_call" as const),
          ok: fc.boolean(),
          input: fc.nat(1000),
          reopen: fc.boolean(),
        }),
        { maxLength: 30 },
      ),
      (steps) =>
        withTempDirectory((directory) => {
          let store = open(directory);
          for (const [index, { session, kind, ok, input, reopen }] of steps.entries()) {
            const usage = { input, output: 0, cache_read: 0, cache_write: 0 };
            const data = kind === "llm_call" ? { usage } : { ok };
            commit(store, [storedEvent(index + 1, { sessionId: session, kind, data })]);
            if (reopen) {
              if (ok) store.settle();
              store = open(directory);
            }
          }
          for (const name of ["a", "b"]) {
            const own = steps.filter(({ session }) => session === name);
            const calls = own.filter(({ kind }) => kind === "llm_call");
            const expected =
              own.length === 0
                ? null
                : {
                    events: own.length,
                    toolCalls: own.filter(({ kind }) => kind === "tool_call").length,
                    errors: own.filter(({ kind, ok }) => kind === "tool_result" && !ok).length,
                    unpricedCalls: calls.length,
                  };
            const session = store.sessions.get(name);
            if (expected === null) expect(session).toBeNull();
            else {
              expect(session).toMatchObject(expected);
              expect(session?.tokens.input).toBe(calls.reduce((sum, { input }) => sum + input, 0));
            }
          }
        }),
    ),
    { numRuns: 15 },
  ));

test("every file of the database is its owner's alone, whoever made the directory", () =>
  withTempDirectory(async (directory) => {
    chmodSync(directory, 0o755);
    const unlock = lockDirectory(directory);
    const store = open(directory);
    commit(store, [storedEvent(1)]);
    const modes = readdirSync(directory).map((name) => [
      name,
      (statSync(join(directory, name)).mode & 0o777).toString(8),
    ]);
    expect(modes.map(([name]) => name)).toContain("observer.db-wal");
    expect(modes.filter(([, mode]) => mode !== "600")).toEqual([]);
    store.close();
    unlock();
  }));

test("a failed result counts as the session's error when it says so or says nothing but its error", () =>
  withTempDirectory((directory) => {
    const store = open(directory);
    const result = { sessionId: "s", kind: "tool_result" } as const;
    const outcomes = [{ ok: false }, { error: "boom" }, { ok: true, error: "a warning" }, {}];
    commit(
      store,
      outcomes.map((data, index) => storedEvent(index + 1, { ...result, data })),
    );
    store.settle();
    expect(store.sessions.get("s")?.errors).toBe(2);
    store.close();
  }));

test("lists filter by what is absent, and sessions and checkpoints by every shown field", () =>
  withTempDirectory(async (directory) => {
    const store = open(directory);
    commit(store, [storedEvent(1, { id: "in", sessionId: "s" }), storedEvent(2, { id: "out" })]);
    const { items } = await store.events.list({ limit: 10, filters: { session_id: "null" } });
    expect(items.map(({ id }) => id)).toEqual(["out"]);
    const last = { limit: 10, filters: { last_at: "1000001" } };
    expect((await store.sessions.list(last)).items.map(({ id }) => id)).toEqual(["s"]);
    expect((await store.checkpoints.list({ limit: 10, filters: { error: "null" } })).items).toEqual(
      [],
    );
    store.close();
  }));

test("facts are kept over a restart, apart from the database's own", () =>
  withTempDirectory(async (directory) => {
    const first = createStore({ directory, durability: "normal", host: "here" });
    expect(first.facts.get("kmsg")).toBeNull();
    first.facts.set("kmsg", "boot:17");
    first.facts.set("settled_seq", 5);
    first.close();
    const second = createStore({ directory, durability: "normal", host: "here" });
    expect(second.facts.get("kmsg")).toBe("boot:17");
    expect(second.facts.get("settled_seq")).toBe(5);
    expect(second.nextSeq()).toBe(1);
    second.close();
  }));
