// Normalising: noise goes, meaning stays.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { normaliseText, resultKey } from "../../src/detectors/normalise.ts";

const same: [string, string][] = [
  ["3 failed in 0.03s", "3 failed in 12.4s"],
  ["==== 3 failed in 0.03s ====", "=== 3 failed in 112.4s ==="].map((text) => `=${text}=`) as [
    string,
    string,
  ],
  ["done 2026-11-21T08:00:00.123Z", "done 2026-11-22T09:10:11.456Z"],
  ["done 2026-11-21 08:00:00,123", "done 2026-11-21 08:00:01,001"],
  ["Fri Nov 21 08:00:00 2026", "Sat Nov 22 09:00:01 2026"],
  ["[08:00:01] start", "[08:00:02] start"],
  ["at 1795248000123", "at 1795248999999"],
  ["pid 41 exited", "pid 4242 exited"],
  ['{"pid":41}', '{"pid":42}'],
  ["sshd[2114]: bye", "sshd[33115]: bye"],
  ["(node:411) Warning", "(node:9) Warning"],
  ["==411==ERROR", "==4222==ERROR"],
  ["object at 0x7f3a5c0012d0", "object at 0x7f3a5c00ffff"],
  ["id 3f2504e0-4f89-41d3-9a0c-0305e82c3301", "id 11111111-2222-4333-8444-555555555555"],
  ["wrote /tmp/tmpab12/out.txt", "wrote /tmp/tmpzz99/out.txt"],
  ["wrote /var/folders/zz/abc0/T/tmp.x/out", "wrote /private/var/folders/zz/abc0/T/tmp.y/out"],
  ["\u001b[31mred\u001b[0m", "red"],
  ['{"durationMs":12,"startedAt":5}', '{"durationMs":99,"startedAt":7}'],
  ["real 0m1.203s", "real 1m0.990s"],
];
const different: [string, string][] = [
  ["12 failed", "3 failed"],
  ["12 failed in 0.1s", "3 failed in 0.1s"],
  ["line 12: error", "line 14: error"],
  ["src/a.ts:12:34", "src/a.ts:12:35"],
  ["exit code 1", "exit code 2"],
  ["attempt: 1", "attempt: 2"],
  ["processed 120 files", "processed 130 files"],
  ["/tmp/x/a.py failed", "/tmp/x/b.py failed"],
  ["/home/tmp/a1 failed", "/home/tmp/a2 failed"],
  ["items[1]: bad", "items[2]: bad"],
  ["progress ....", "progress ....."],
];

describe("normaliseText", () => {
  for (const [a, b] of same) {
    test(`takes ${JSON.stringify(a)} and ${JSON.stringify(b)} for the same`, () => {
      expect(normaliseText(a)).toBe(normaliseText(b));
    });
  }
  for (const [a, b] of different) {
    test(`keeps ${JSON.stringify(a)} and ${JSON.stringify(b)} apart`, () => {
      expect(normaliseText(a)).not.toBe(normaliseText(b));
    });
  }

  test("stays fast on long runs of one character, as hostile output may have", () => {
    for (const unit of [
      "1",
      "a",
      "/tmp/",
      "\u001b]",
      "1:",
      "Jan ",
      "_at",
      "= ",
      "pid ",
      " 1",
      "-1",
    ]) {
      const text = unit.repeat(20_000);
      const startNs = Bun.nanoseconds();
      normaliseText(text);
      // Linear patterns take about a millisecond; a quadratic one takes minutes.
      expect((Bun.nanoseconds() - startNs) / 1e6).toBeLessThan(2_000);
    }
  });

  test("changes nothing in text without digits, escapes, slashes and rulers", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z ,.!?\n]*$/), (text) => {
        expect(normaliseText(text)).toBe(text);
      }),
    );
  });
});

describe("resultKey", () => {
  test("keeps files of a workspace in a temporary directory apart", () => {
    const key = (name: string): number =>
      resultKey(`/tmp/ws1/pkg2/${name} failed`, ["/tmp/ws1/pkg2"]);
    expect(key("test1.py")).not.toBe(key("test2.py"));
    expect(resultKey("/tmp/ws1/a failed", ["/tmp/ws1"])).toBe(
      resultKey("/tmp/ws1/a failed", ["/tmp/ws1"]),
    );
  });

  test("sees a change anywhere in a long result, and forgives noise at its ends", () => {
    const body = "x\n".repeat(50_000);
    const long = (head: string, middle: string, tail: string): number =>
      resultKey(`${head}\n${body}${middle}${body}${tail}`, []);
    expect(long("at 08:00:01", "m", "in 0.1s")).toBe(long("at 08:00:02", "m", "in 0.2s"));
    expect(long("h", "3 failed", "t")).not.toBe(long("h", "4 failed", "t"));
  });

  test("does not depend on the order of keys", () => {
    expect(resultKey({ a: 1, b: ["x"] }, [])).toBe(resultKey({ b: ["x"], a: 1 }, []));
  });
});
