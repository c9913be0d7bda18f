// What only the first event of a session says holds for the trouble that comes later.

import { expect, test } from "bun:test";
import type { Session } from "../../src/core/session.ts";
import { createSessionFacts } from "../../src/pipeline/session-facts.ts";
import { storedEvent } from "../support/events.ts";

const late = storedEvent(9, { sessionId: "s" }).event;
const finding = {
  type: "retry_limit",
  fingerprint: "f",
  timeMs: 1,
  summary: "",
  detail: {},
  evidence: [],
  sessionId: "s",
} as const;

test("complete adds agent, process and directory of the session, and changes nothing that is said", () => {
  const facts = createSessionFacts(() => null);
  const start = { sessionId: "s", kind: "session_start" } as const;
  facts.note(storedEvent(1, { ...start, agent: "a", pid: 7, workspace: "/w" }).event);
  facts.note(storedEvent(2, { sessionId: "s", kind: "process_exit", pid: 8 }).event);
  facts.note(late);
  const found = { ...finding, evidence: [] };
  expect(facts.complete(found, late)).toMatchObject({ agent: "a", pid: 7, cwd: "/w" });
  expect(facts.complete({ ...found, cwd: "/x" }, late).cwd).toBe("/x");
  facts.note(storedEvent(3, { sessionId: "s", data: { cwd: "/w/inner" } }).event);
  expect(facts.complete(found, late).cwd).toBe("/w/inner");
});

test("complete keeps sessions and hosts apart", () => {
  const facts = createSessionFacts(() => null);
  facts.note(storedEvent(1, { sessionId: "other", agent: "a" }).event);
  facts.note(storedEvent(2, { sessionId: "s", agent: "b", host: "elsewhere" }).event);
  expect(facts.complete({ ...finding, evidence: [] }, late).agent).toBeUndefined();
});

test("complete asks for what the events do not say, of the same host only", () => {
  const stored: Session = {
    id: "s",
    host: "here",
    agent: "a",
    workspace: "/w",
    pid: 7,
    startedMs: 0,
    lastMs: 0,
    endedMs: null,
    endReason: null,
    events: 1,
    toolCalls: 0,
    errors: 0,
    tokens: { input: 0, output: 0, cache_read: 0, cache_write: 0 },
    costUsd: 0,
    unpricedCalls: 0,
  };
  const facts = createSessionFacts((id) => (id === "s" ? stored : null));
  const found = { ...finding, evidence: [] };
  expect(facts.complete(found, late)).toMatchObject({ agent: "a", pid: 7, cwd: "/w" });
  facts.note(storedEvent(1, { sessionId: "s", data: { cwd: "/w/inner" } }).event);
  expect(facts.complete(found, late)).toMatchObject({ agent: "a", pid: 7, cwd: "/w/inner" });
  expect(facts.complete(found, { ...late, host: "elsewhere" }).cwd).toBeUndefined();
  expect(facts.complete({ ...found, sessionId: "t" }, late).cwd).toBeUndefined();
});
