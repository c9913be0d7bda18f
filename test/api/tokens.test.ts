import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { parseTokens } from "../../src/api/tokens.ts";

test("parseTokens reads admin, read and ingest tokens and skips comments", () => {
  const tokens = parseTokens("# made at first start\nabc123\r\n\nread:r1\n ingest:i1 \nadmin:a2\n");
  expect(tokens.scopeOf("abc123")).toBe("admin");
  expect(tokens.scopeOf("a2")).toBe("admin");
  expect(tokens.scopeOf("r1")).toBe("read");
  expect(tokens.scopeOf("i1")).toBe("ingest");
  for (const wrong of ["", "abc", "abc1234", "read:r1", "# made at first start"]) {
    expect(tokens.scopeOf(wrong)).toBeNull();
  }
});

test("parseTokens gives a token of two scopes the wider one", () => {
  expect(parseTokens("ingest:x\nread:x").scopeOf("x")).toBe("read");
});

test("parseTokens names the line of an unusable token and does not quote it", () => {
  expect(() => parseTokens("good\nread:")).toThrow("line 2");
  expect(() => parseTokens("se cret")).toThrow(/^(?!.*se cret).*line 1/);
});

test("parseTokens of an empty file knows no token", () => {
  expect(parseTokens("").scopeOf("")).toBeNull();
});

test("scopeOf knows no token that is not in the file", () => {
  const tokens = parseTokens("the-token");
  fc.assert(
    fc.property(fc.string(), (guess) => {
      fc.pre(guess !== "the-token");
      expect(tokens.scopeOf(guess)).toBeNull();
    }),
  );
});
