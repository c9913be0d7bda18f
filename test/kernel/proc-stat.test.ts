import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import {
  parseEnvironment,
  parseStat,
  parseStatus,
  parseStrings,
} from "../../src/kernel/structs/proc-stat.ts";

// As the kernel writes it, with the fields that observer reads told apart by their values.
function statLine(comm: Uint8Array, state = "S"): Buffer {
  const rest = `${state} 11 12 13 34816 15 4194304 17 18 19 20 21 22 23 24 20 0 1 0 1234567 29 30 ${Array.from({ length: 27 }, (_, at) => 31 + at).join(" ")} 2304 1 2 3\n`;
  return Buffer.concat([Buffer.from("42 ("), comm, Buffer.from(`) ${rest}`)]);
}

describe("parseStat", () => {
  test("reads every field where it stands", () => {
    expect(parseStat(statLine(Buffer.from("bash")))).toEqual({
      pid: 42,
      comm: "bash",
      state: "S",
      ppid: 11,
      pgrp: 12,
      session: 13,
      tty: 34816,
      startTicks: 1_234_567,
      utimeTicks: 21,
      stimeTicks: 22,
      rssPages: 30,
      exitStatus: null,
    });
  });

  test("takes any bytes for a command, parentheses and newlines too", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 15 }), (bytes) => {
        const stat = parseStat(statLine(bytes));
        expect(stat).toMatchObject({ pid: 42, ppid: 11, startTicks: 1_234_567 });
        expect(stat?.comm).toBe(Buffer.from(bytes).toString("utf8"));
      }),
    );
  });

  test("has a wait status for zombies only", () => {
    expect(parseStat(statLine(Buffer.from("x"), "Z"))?.exitStatus).toBe(2304);
    expect(parseStat(statLine(Buffer.from("x"), "R"))?.exitStatus).toBeNull();
  });

  test("never throws, and gives null for what is no such line", () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => void parseStat(Buffer.from(bytes))));
    for (const text of ["", "42", "42 (x", "x (y) S 1", "42 (x) S"])
      expect(parseStat(Buffer.from(text))).toBeNull();
  });
});

describe("parseStatus", () => {
  test("is not misled by a name that looks like a line", () => {
    const text =
      "Name:\t\rUid:\t0\t0\nUmask:\t0022\nUid:\t1000\t1001\t1000\t1000\nNSpid:\t31\t7\t1\n";
    expect(parseStatus(text)).toEqual({ uid: 1000, effectiveUid: 1001, namespacePid: 1 });
  });

  test("knows no inner pid on kernels that show none", () => {
    expect(parseStatus("Uid:\t0\t0\t0\t0\n")?.namespacePid).toBeNull();
  });

  test("gives null for what is no such text", () => {
    for (const text of ["", "Uid:\n", "Uid:\tx\ty\n"]) expect(parseStatus(text)).toBeNull();
  });
});

describe("parseStrings", () => {
  test("keeps empty arguments and a last one without its end", () => {
    expect(parseStrings(Buffer.from("a\0\0b\0"))).toEqual(["a", "", "b"]);
    expect(parseStrings(Buffer.from("nginx: worker process"))).toEqual(["nginx: worker process"]);
    expect(parseStrings(Buffer.from(""))).toEqual([]);
  });

  test("gives back what was written", () => {
    const word = fc.string().filter((text) => !text.includes("\0") && text.isWellFormed());
    fc.assert(
      fc.property(fc.array(word), (words) => {
        const bytes = Buffer.from(words.map((text) => `${text}\0`).join(""));
        expect(parseStrings(bytes)).toEqual(words);
      }),
    );
  });
});

describe("parseEnvironment", () => {
  test("takes the first of two variables with one name, and no line without one", () => {
    const bytes = Buffer.from("A=1\0A=2\0B=x=y\0noise\0=z\0C=\0");
    expect([...parseEnvironment(bytes, false)]).toEqual([
      ["A", "1"],
      ["B", "x=y"],
      ["C", ""],
    ]);
  });

  test("drops the last when the end is missing", () => {
    expect([...parseEnvironment(Buffer.from("A=1\0TOKEN=ab"), true).keys()]).toEqual(["A"]);
  });
});
