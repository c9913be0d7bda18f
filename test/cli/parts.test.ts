// The parts that verbs are made of: typing mistakes, flags, tables, words for values.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { parseCommand } from "../../src/cli/flags.ts";
import { createPaint } from "../../src/cli/paint.ts";
import { ago, compact, cost, eventSummary, timeArgument } from "../../src/cli/show.ts";
import { fit, renderTable } from "../../src/cli/table.ts";
import { VERBS } from "../../src/cli/verbs.ts";

const word = fc.string({ maxLength: 12 });

describe("parseCommand", () => {
  test("never throws, whatever is typed", () => {
    const token = fc.oneof(
      word,
      fc.constantFrom("--", "-", "--limit", "--json", "--=", "-x", "--limit=", "--no-json"),
    );
    fc.assert(
      fc.property(fc.array(token, { maxLength: 8 }), fc.constantFrom(...VERBS), (argv, verb) => {
        const parsed = parseCommand(argv, verb);
        for (const problem of parsed.problems) expect(problem.rule).not.toBe("");
      }),
    );
  });

  test("names the flag that two swapped letters meant", () => {
    const names = VERBS.flatMap((verb) => verb.flags.map(({ name }) => ({ verb, name })));
    const long = names.filter(({ name }) => name.length > 5);
    fc.assert(
      fc.property(fc.constantFrom(...long), fc.nat(), ({ verb, name }, seed) => {
        const at = 1 + (seed % (name.length - 2));
        const typed = `${name.slice(0, at)}${name[at + 1]}${name[at]}${name.slice(at + 2)}`;
        fc.pre(typed !== name && name[at + 1] !== "-");
        expect(parseCommand([`--${typed}`], verb).problems[0]?.meant).toBe(`--${name}`);
      }),
    );
  });

  test("takes a value that starts with one dash, and refuses a forgotten one", () => {
    const spec = {
      flags: [
        { name: "label", value: "TEXT", help: "" },
        { name: "json", help: "" },
      ],
    };
    expect(parseCommand(["--label", "-1"], spec).flags.text("label")).toBe("-1");
    expect(parseCommand(["--label", "--json"], spec).problems).toHaveLength(1);
    expect(parseCommand(["--label", "a", "--label", "b"], spec).problems).toHaveLength(1);
  });
});

describe("renderTable", () => {
  const columns = [
    { title: "ID", value: (row: string[]) => row[0] ?? "" },
    { title: "N", value: (row: string[]) => row[1] ?? "", right: true, optional: 1, flexMin: 2 },
    { title: "WHAT", value: (row: string[]) => row[2] ?? "", flexMin: 8 },
  ];

  test("no line is wider than the terminal or holds a control character", () => {
    const cell = fc.string({ unit: "grapheme", maxLength: 60 });
    const id = fc.string({
      minLength: 1,
      maxLength: 13,
      unit: fc.constantFrom("a", "b", "0", "9"),
    });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(id, cell, cell)),
        fc.integer({ min: 40, max: 120 }),
        (rows, width) => {
          const text = renderTable(rows, { columns, width, paint: createPaint(false) });
          const lines = text.split("\n").slice(0, -1);
          expect(lines).toHaveLength(rows.length + 1);
          for (const line of lines) {
            expect(Bun.stringWidth(line)).toBeLessThanOrEqual(width);
            expect(line).toBe(line.replace(/\p{Cc}/gu, "?"));
          }
        },
      ),
    );
  });

  test("fit never cuts through a character and marks the cut", () => {
    expect(fit("日本語テキスト", 7)).toBe("日本語…");
    expect(fit("short", 5)).toBe("short");
  });
});

describe("words for values", () => {
  const now = Date.parse("2026-01-31T08:00:00.000Z");
  test("ago", () => {
    expect(ago("2026-01-31T07:59:30.000Z", now)).toBe("30 s ago");
    expect(ago("2026-01-31T05:00:00.000Z", now)).toBe("3 h ago");
    expect(ago("2025-01-31T05:00:00.000Z", now)).toBe("2025-01-31");
    expect(ago("", now)).toBe("");
  });

  test("timeArgument counts durations back and takes dates as they are", () => {
    expect(timeArgument("10m", now)).toBe("2026-01-31T07:50:00.000Z");
    expect(timeArgument("2026-01-30T00:00:00Z", now)).toBe("2026-01-30T00:00:00.000Z");
    expect(timeArgument(undefined, now)).toBeUndefined();
  });

  test("cost shows calls of unknown price", () => {
    expect(cost({ cost_usd: 1.5, unpriced_calls: 2 })).toBe("$1.50+");
    expect(cost({ cost_usd: 0, unpriced_calls: 0 })).toBe("–");
    expect(compact(1_234_567)).toBe("1.2M");
  });

  test("eventSummary reads fields beside the envelope and under data", () => {
    const flat = {
      kind: "tool_result",
      tool: "Bash",
      input: { command: "ls" },
      ok: false,
      error: "no",
    };
    expect(eventSummary(flat)).toBe("Bash · ls · failed · no");
    expect(eventSummary({ kind: "tool_result", data: flat })).toBe("Bash · ls · failed · no");
  });
});
