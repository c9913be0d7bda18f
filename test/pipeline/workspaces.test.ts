// The workspace of an interruption: innermost configured one, else the first.

import { expect, test } from "bun:test";
import { resolveWorkspace } from "../../src/pipeline/workspaces.ts";

const configured = [
  { path: "/w", realPath: "/w" },
  { path: "/w/inner", realPath: "/w/inner" },
  { path: "/link", realPath: "/real/place" },
];

test.each([
  ["/w/src", "/w"],
  ["/w/inner/x", "/w/inner"],
  ["/w/inner", "/w/inner"],
  ["/w/innermost", "/w"],
  ["/link/a", "/link"],
  ["/real/place/a", "/link"],
  ["/elsewhere", "/w"],
  ["/workspace", "/w"],
  [undefined, "/w"],
])("resolveWorkspace of %p is %p", (cwd, expected) => {
  const facts = cwd === undefined ? {} : { cwd };
  expect(resolveWorkspace(facts, { configured })).toBe(expected);
});

test("resolveWorkspace is null when none is configured, whatever is claimed", () => {
  expect(resolveWorkspace({ cwd: "/w" }, { configured: [] })).toBeNull();
});

const confirmed = [
  { path: "/home/a/project", realPath: "/home/a/project", sessionIds: ["s1"], pids: [7] },
  { path: "/w/inner/deep", realPath: "/w/inner/deep", sessionIds: ["s2"] },
];

test.each([
  [{ cwd: "/home/a/project/src" }, "/home/a/project"],
  [{ cwd: "/w/inner/deep/x" }, "/w/inner/deep"],
  [{ cwd: "/w/inner/x", sessionId: "s2" }, "/w/inner"],
  [{ cwd: "/elsewhere", sessionId: "s1" }, "/home/a/project"],
  [{ sessionId: "s1" }, "/home/a/project"],
  [{ pid: 7 }, "/home/a/project"],
  [{ sessionId: "s3", pid: 7 }, "/w"],
  [{ sessionId: "s3" }, "/w"],
  [{}, "/w"],
])("resolveWorkspace of %p beside confirmed ones is %p", (facts, expected) => {
  expect(resolveWorkspace(facts, { configured, confirmed })).toBe(expected);
});

test("resolveWorkspace takes a confirmed workspace where none is configured, and none for others", () => {
  expect(resolveWorkspace({ sessionId: "s1" }, { configured: [], confirmed })).toBe(
    "/home/a/project",
  );
  expect(resolveWorkspace({ sessionId: "s9" }, { configured: [], confirmed })).toBeNull();
});

test("resolveWorkspace keeps to the workspace that observer run named, unless one within it holds the cwd", () => {
  const named = { path: "/n", realPath: "/n", sessionIds: ["s5"], named: true };
  const known = { configured: [...configured, { path: "/n/in", realPath: "/n/in" }] };
  const at = (cwd: string): string | null =>
    resolveWorkspace({ sessionId: "s5", cwd }, { ...known, confirmed: [...confirmed, named] });
  expect([at("/elsewhere"), at("/n/sub"), at("/n/in/sub")]).toEqual(["/n", "/n", "/n/in"]);
  const first = configured[0]?.path ?? "";
  expect(at(first)).toBe("/n");
});
