// One trouble is one row: counting, escalation in place, quiet, resolution.

import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Finding } from "../../src/core/interruption.ts";
import { createInterruptions } from "../../src/pipeline/interruptions.ts";

function create() {
  let next = 0;
  return createInterruptions({
    host: "here",
    quietMs: 1_000,
    newId: () => `i${(next += 1)}`,
    now: () => 50_000,
    workspaceOf: ({ cwd }) => cwd ?? null,
  });
}

function finding(fields: Partial<Finding> = {}): Finding {
  return {
    type: "retry_limit",
    fingerprint: "pytest",
    timeMs: 100,
    summary: "failed",
    detail: { value: 5 },
    evidence: ["e1"],
    sessionId: "s",
    ...fields,
  };
}

test("apply opens once and then counts, with the newest detail and all evidence", () => {
  const interruptions = create();
  const [opened] = interruptions.apply(finding());
  const [counted] = interruptions.apply(
    finding({ timeMs: 200, detail: { value: 6 }, evidence: ["e2"] }),
  );
  expect(opened?.kind).toBe("opened");
  expect(counted?.kind).toBe("counted");
  expect(counted?.interruption).toMatchObject({
    id: "i1",
    count: 2,
    firstMs: 100,
    lastMs: 200,
    detail: { value: 6 },
    evidence: ["e1", "e2"],
  });
});

test("apply dates a trouble from its earliest event, however late that one came", () => {
  const interruptions = create();
  interruptions.apply(finding());
  const [late] = interruptions.apply(finding({ timeMs: 40 }));
  expect(late?.interruption).toMatchObject({ count: 2, firstMs: 40, lastMs: 100 });
});

test("apply keeps sessions, types and fingerprints apart", () => {
  const interruptions = create();
  const kinds = [
    finding(),
    finding({ sessionId: "other" }),
    finding({ host: "elsewhere" }),
    finding({ fingerprint: "make" }),
    finding({ type: "tool_failure" }),
  ].map((it) => interruptions.apply(it)[0]?.kind);
  expect(kinds).toEqual(["opened", "opened", "opened", "opened", "opened"]);
  expect(interruptions.apply(finding({ host: "elsewhere" }))[0]?.interruption).toMatchObject({
    host: "elsewhere",
    count: 2,
  });
});

test("apply names a workspace only for trouble on its own host", () => {
  const interruptions = create();
  const workspaces = [{}, { host: "here" }, { host: "elsewhere" }].map(
    (fields) =>
      interruptions.apply(finding({ ...fields, cwd: "/w", fingerprint: JSON.stringify(fields) }))[0]
        ?.interruption.workspace,
  );
  expect(workspaces).toEqual(["/w", "/w", null]);
});

test("apply opens a new row after the quiet time and after resolution", () => {
  const interruptions = create();
  interruptions.apply(finding({ timeMs: 100 }));
  expect(interruptions.apply(finding({ timeMs: 1_100 }))[0]?.kind).toBe("counted");
  expect(interruptions.apply(finding({ timeMs: 2_101 }))[0]?.kind).toBe("opened");
  expect(interruptions.resolve("i2")?.resolvedMs).toBe(50_000);
  expect(interruptions.resolve("i2")).toBeNull();
  expect(interruptions.apply(finding({ timeMs: 2_102 }))[0]?.interruption.id).toBe("i3");
});

test("apply turns a superseded interruption into the graver one, in place", () => {
  const interruptions = create();
  interruptions.apply(finding());
  const loop = finding({
    type: "dead_loop",
    fingerprint: "loop",
    detail: { period: 3 },
    supersedes: [{ type: "retry_limit", fingerprint: "pytest" }],
  });
  const [change] = interruptions.apply(loop);
  expect(change?.kind).toBe("escalated");
  expect(change?.interruption).toMatchObject({
    id: "i1",
    type: "dead_loop",
    severity: "critical",
    detail: { period: 3, escalated_from: "retry_limit" },
  });
  expect(interruptions.apply(loop)[0]).toMatchObject({ kind: "counted" });
  expect(interruptions.apply(finding())[0]?.kind).toBe("opened");
});

test("apply merges further superseded ones into the first", () => {
  const interruptions = create();
  interruptions.apply(finding());
  interruptions.apply(finding({ fingerprint: "make" }));
  const changes = interruptions.apply(
    finding({
      type: "dead_loop",
      fingerprint: "loop",
      supersedes: [
        { type: "retry_limit", fingerprint: "pytest" },
        { type: "retry_limit", fingerprint: "make" },
      ],
    }),
  );
  expect(changes.map(({ kind }) => kind)).toEqual(["escalated", "merged"]);
  expect(changes[1]?.interruption).toMatchObject({
    resolvedMs: 50_000,
    detail: { merged_into: "i1" },
  });
});

test("apply adds proof without counting, and opens nothing for it", () => {
  const interruptions = create();
  expect(interruptions.apply(finding({ addsProof: true }))).toEqual([]);
  interruptions.apply(finding());
  const proof = finding({ addsProof: true, timeMs: 150, detail: { value: 6 }, evidence: ["e2"] });
  expect(interruptions.apply({ ...proof, pid: 7 })[0]).toMatchObject({
    kind: "proven",
    interruption: { count: 1, detail: { value: 6 }, evidence: ["e1", "e2"], pid: 7 },
  });
});

test("apply merges what a proof shows to be the same trouble", () => {
  const interruptions = create();
  interruptions.apply(finding({ type: "oom_kill", fingerprint: "kill" }));
  interruptions.apply(finding({ type: "agent_crash", fingerprint: "crash" }));
  const changes = interruptions.apply(
    finding({
      type: "oom_kill",
      fingerprint: "kill",
      addsProof: true,
      supersedes: [{ type: "agent_crash", fingerprint: "crash" }],
    }),
  );
  expect(changes.map(({ kind, interruption }) => [kind, interruption.id])).toEqual([
    ["proven", "i1"],
    ["merged", "i2"],
  ]);
});

test("apply escalates within a type in place, and learns the session of a row that had none", () => {
  const interruptions = create();
  const { sessionId: _, ...nobodys } = finding({ type: "memory_pressure", fingerprint: "watch" });
  interruptions.apply(nobodys);
  const supersedes = [{ type: "memory_pressure", fingerprint: "watch", sessionId: null } as const];
  const rise = finding({ type: "memory_pressure", fingerprint: "freeze", detail: {}, supersedes });
  const [change] = interruptions.apply(rise);
  expect(change).toMatchObject({
    kind: "escalated",
    interruption: { id: "i1", sessionId: "s", count: 2, detail: {} },
  });
  expect(change?.interruption.detail).toEqual({});
  expect(interruptions.apply(rise)[0]).toMatchObject({ kind: "counted" });
});

test("load takes open rows over, so that a restart counts on", () => {
  const before = create();
  const stored = before.apply(finding())[0]?.interruption;
  const after = create();
  after.load(stored ? [stored] : []);
  expect(after.apply(finding({ timeMs: 150 }))[0]).toMatchObject({ kind: "counted" });
});

test("evidence stays bounded and keeps how it began", () => {
  const interruptions = create();
  for (let index = 0; index < 200; index += 1) {
    interruptions.apply(finding({ timeMs: 100 + index, evidence: [`e${index}`] }));
  }
  const last = interruptions.apply(finding({ timeMs: 400 }))[0]?.interruption;
  expect(last?.evidence).toHaveLength(50);
  expect(last?.evidence[0]).toBe("e0");
  expect(last?.evidence).toContain("e199");
});

test("apply never has two open rows of one trouble", () =>
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          type: fc.constantFrom("retry_limit" as const, "dead_loop" as const),
          fingerprint: fc.constantFrom("a", "b"),
          sessionId: fc.constantFrom("s", "t"),
          timeMs: fc.nat(900),
          supersede: fc.boolean(),
        }),
      ),
      (steps) => {
        const interruptions = create();
        const rows = new Map<string, { key: string; resolved: boolean }>();
        for (const { supersede, ...fields } of steps) {
          const supersedes = supersede
            ? [{ type: "retry_limit" as const, fingerprint: fields.fingerprint }]
            : [];
          for (const { interruption } of interruptions.apply(finding({ ...fields, supersedes }))) {
            const { id, type, sessionId, fingerprint, resolvedMs } = interruption;
            rows.set(id, {
              key: `${type}|${sessionId}|${fingerprint}`,
              resolved: resolvedMs !== null,
            });
          }
        }
        const open = [...rows.values()].filter(({ resolved }) => !resolved).map(({ key }) => key);
        expect(new Set(open).size).toBe(open.length);
      },
    ),
  ));
