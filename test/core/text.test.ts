// Text from agents, made safe to show.

import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { printable, printableJson } from "../../src/core/text.ts";

// oxlint-disable-next-line no-control-regex -- what a terminal acts upon
const ACTED_UPON = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;

test("printable is one line that no terminal acts upon", () => {
  expect(printable("a\u001b[31m\r\nb\u009b\u202e")).toBe("a\\x1b[31m\\r\\nb\\x9b\\u202e");
});

test("printableJson keeps the value and leaves nothing that a terminal acts upon", () => {
  const unsafe = fc.string({ unit: fc.constantFrom("a", "\u009b", "\u007f", "\u202e", "\u001b") });
  fc.assert(
    fc.property(fc.jsonValue(), unsafe, (value, text) => {
      const shown = printableJson(JSON.stringify({ value, [text]: text }, null, 2));
      expect(JSON.parse(shown)).toEqual(JSON.parse(JSON.stringify({ value, [text]: text })));
      expect(shown).not.toMatch(ACTED_UPON);
    }),
  );
});
