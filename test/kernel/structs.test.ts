// Layouts of what the kernel reads and writes, on each architecture.

import { describe, expect, test } from "bun:test";
import { constants } from "node:os";
import * as fc from "fast-check";
import {
  epollLayout,
  GENERATIONS,
  readEpollEvent,
  SLOTS_MAX,
  writeEpollEvent,
} from "../../src/kernel/structs/epoll-event.ts";
import { parseInotify } from "../../src/kernel/structs/inotify-event.ts";
import { exitStatusOf, pidfdInfoRequest } from "../../src/kernel/structs/pidfd-info.ts";
import {
  filterProgram,
  parseProcEvents,
  procConnectorAddress,
  procConnectorAnswer,
  procConnectorRequest,
  processesOnlyFilter,
} from "../../src/kernel/structs/proc-event.ts";
import { decodeWaitStatus, signalName } from "../../src/kernel/structs/wait-status.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("epoll_event", () => {
  const tag = { fd: 7, drain: true, slot: 5, generation: 3 };

  test("is packed on x64 and aligned on arm64", () => {
    expect(hex(writeEpollEvent(epollLayout("x64"), 0x8000_0001, tag))).toBe(
      "010000800700000003002880",
    );
    expect(hex(writeEpollEvent(epollLayout("arm64"), 0x8000_0001, tag))).toBe(
      "01000080000000000700000003002880",
    );
  });

  for (const arch of ["x64", "arm64"]) {
    test(`comes back as it went in, on ${arch}`, () => {
      const layout = epollLayout(arch);
      const any = fc.record({
        fd: fc.integer({ min: 0, max: 0x7fff_ffff }),
        drain: fc.boolean(),
        slot: fc.integer({ min: 0, max: SLOTS_MAX - 1 }),
        generation: fc.integer({ min: 0, max: GENERATIONS - 1 }),
        events: fc.integer({ min: 0, max: 0xffff_ffff }),
      });
      fc.assert(
        fc.property(fc.array(any, { minLength: 1, maxLength: 5 }), (all) => {
          const bytes = Buffer.concat(all.map((one) => writeEpollEvent(layout, one.events, one)));
          const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
          expect(all.map((_, index) => readEpollEvent(layout, view, index))).toEqual(all);
        }),
      );
    });
  }
});

describe("wait status", () => {
  test("decodeWaitStatus tells exit, signal and core", () => {
    expect(decodeWaitStatus(0)).toEqual({ exitCode: 0, signal: null, coreDumped: false });
    expect(decodeWaitStatus(42 << 8)).toEqual({ exitCode: 42, signal: null, coreDumped: false });
    expect(decodeWaitStatus(9)).toEqual({ exitCode: null, signal: "SIGKILL", coreDumped: false });
    expect(decodeWaitStatus(11 | 0x80)).toEqual({
      exitCode: null,
      signal: "SIGSEGV",
      coreDumped: true,
    });
  });

  test("signalName has every signal of this system, and the real-time ones", () => {
    const aliases = new Set(["SIGIOT", "SIGPOLL"]);
    for (const [name, number] of Object.entries(constants.signals)) {
      if (!aliases.has(name)) expect(signalName(number)).toBe(name);
    }
    expect([16, 31, 32, 34, 35, 64].map(signalName)).toEqual([
      "SIGSTKFLT",
      "SIGSYS",
      "SIG32",
      "SIGRTMIN",
      "SIGRTMIN+1",
      "SIGRTMIN+30",
    ]);
  });

  test("pidfd_info has a status only when the kernel says so", () => {
    const info = pidfdInfoRequest();
    expect(hex(info)).toBe(`0f${"00".repeat(63)}`);
    const view = new DataView(info.buffer);
    view.setInt32(60, 9, true);
    expect(exitStatusOf(info)).toBe(9);
    view.setBigUint64(0, 7n, true);
    expect(exitStatusOf(info)).toBeNull();
  });
});

describe("inotify_event", () => {
  test("parseInotify reads several, with and without a name, and stops at a torn one", () => {
    const bytes = Buffer.from(
      "01000000000100000000000010000000" +
        Buffer.from("a-name\0\0\0\0\0\0\0\0\0\0").toString("hex") +
        "02000000020000000000000000000000" +
        "030000000200000000000000ff",
      "hex",
    );
    expect(parseInotify(bytes)).toEqual([
      { wd: 1, mask: 0x100, name: "a-name" },
      { wd: 2, mask: 2, name: "" },
    ]);
  });

  test("parseInotify takes any bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void parseInotify(bytes)));
  });
});

function procMessage(what: number, words: number[], timeNs = 5_000_000n): Uint8Array {
  const bytes = new Uint8Array(76);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 76, true);
  view.setUint32(16, 1, true);
  view.setUint32(20, 1, true);
  view.setUint32(36, what, true);
  view.setBigUint64(44, timeNs, true);
  for (const [index, word] of words.entries()) view.setUint32(52 + index * 4, word, true);
  return bytes;
}

/** The classic filter machine, as far as the program uses it. True: the message goes through. */
function runFilter(program: Uint8Array, message: Uint8Array): boolean {
  const code = new DataView(program.buffer);
  const data = new DataView(message.buffer);
  let [accumulator, x] = [0, 0];
  for (let at = 0; at < program.length / 8; at += 1) {
    const operation = code.getUint16(at * 8, true);
    const constant = code.getUint32(at * 8 + 4, true);
    if (operation === 0x20) accumulator = data.getUint32(constant);
    else if (operation === 0x07) x = accumulator;
    else if (operation === 0x06) return constant !== 0;
    else {
      const equal = accumulator === (operation === 0x1d ? x : constant);
      at += code.getUint8(at * 8 + (equal ? 2 : 3));
    }
  }
  throw new Error("the program has no end");
}

describe("proc connector", () => {
  const cases: [string, Uint8Array, object | null][] = [
    ["a fork", procMessage(1, [10, 10, 20, 20]), { what: "fork", pid: 20, ppid: 10 }],
    ["a new thread", procMessage(1, [10, 10, 21, 20]), null],
    ["an exec", procMessage(2, [20, 20]), { what: "exec", pid: 20 }],
    [
      "an exit",
      procMessage(0x8000_0000, [20, 20, 9, 17, 10, 10]),
      { what: "exit", pid: 20, ppid: 10, exitStatus: 9 },
    ],
    [
      "an exit of an old kernel",
      procMessage(0x8000_0000, [20, 20, 256, 17]),
      { what: "exit", pid: 20, exitStatus: 256 },
    ],
    ["a thread's exit", procMessage(0x8000_0000, [21, 20, 0, 17, 10, 10]), null],
    ["a core dump", procMessage(0x4000_0000, [21, 20, 10, 10]), { what: "coredump", pid: 20 }],
    ["a change of name", procMessage(0x200, [20, 20]), null],
  ];
  const filter = processesOnlyFilter();
  for (const [name, message, expected] of cases) {
    test(`${name} is ${expected ? "told" : "left out"}, by the parser and by the filter`, () => {
      const events = expected ? [{ ...expected, atMs: 5 }] : [];
      expect(parseProcEvents(message) as object[]).toEqual(events);
      expect(runFilter(filter, message)).toBe(expected !== null);
    });
  }

  test("the kernel's answer goes through the filter and is no event", () => {
    const answer = procMessage(0, [1]);
    expect(runFilter(filter, answer)).toBe(true);
    expect(procConnectorAnswer(answer)).toBe(1);
    expect(parseProcEvents(answer)).toEqual([]);
    expect(procConnectorAnswer(procMessage(2, [1, 1]))).toBeNull();
  });

  test("several messages of one read are several events", () => {
    const exec = procMessage(2, [20, 20]);
    expect(parseProcEvents(Buffer.concat([exec, exec])).length).toBe(2);
  });

  test("parseProcEvents takes any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(75), (noise, cut) => {
        parseProcEvents(noise);
        const message = procMessage(2, [20, 20]);
        expect(parseProcEvents(message.subarray(0, cut))).toEqual([]);
        message.set(noise.subarray(0, 40), 36);
        parseProcEvents(message);
      }),
    );
  });

  test("requests are as the kernel wants them", () => {
    expect(hex(procConnectorAddress())).toBe("100000000000000001000000");
    expect(hex(procConnectorRequest(1))).toBe(
      "28000000030000000000000000000000010000000100000000000000000000000400000001000000",
    );
    expect(hex(filterProgram(filter, 0x7fff_1234n))).toBe("10000000000000003412ff7f00000000");
  });
});
