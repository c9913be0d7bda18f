// What only the first event of a session says holds for the trouble that comes later.

import { expect, test } from "bun:test";
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
  const facts = createSessionFacts();
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
  const facts = createSessionFacts();
  facts.note(storedEvent(1, { sessionId: "other", agent: "a" }).event);
  facts.note(storedEvent(2, { sessionId: "s", agent: "b", host: "elsewhere" }).event);
  expect(facts.complete({ ...finding, evidence: [] }, late).agent).toBeUndefined();
});
