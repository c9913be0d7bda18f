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
  expect(resolveWorkspace(cwd, configured)).toBe(expected);
});

test("resolveWorkspace is null when none is configured, whatever is claimed", () => {
  expect(resolveWorkspace("/w", [])).toBeNull();
});
