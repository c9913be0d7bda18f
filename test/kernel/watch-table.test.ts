// The memory that the main thread and the waiting thread share.

import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { ObserverError } from "../../src/core/errors.ts";
import { GENERATIONS } from "../../src/kernel/structs/epoll-event.ts";
import { allocateWatchTable, createWatchTable } from "../../src/kernel/structs/watch-table.ts";

const fresh = () => createWatchTable(allocateWatchTable());
const step = (fd: number, text: string) => ({ fd, bytes: Buffer.from(text) });

test("take gives the steps that were armed, once, and disarm is too late then", () => {
  const table = fresh();
  const steps = [step(3, "lease 17\n"), step(4, "x".repeat(56)), step(5, "")];
  expect(table.take(2)).toBeNull();
  expect(table.arm(2, steps)).toBe(true);
  expect(table.take(3)).toBeNull();
  const taken = table.take(2);
  expect(taken?.map(({ fd, bytes }) => [fd, Buffer.from(bytes).toString()])).toEqual([
    [3, "lease 17\n"],
    [4, "x".repeat(56)],
    [5, ""],
  ]);
  expect(table.take(2)).toBeNull();
  expect([table.disarm(2), table.isUnsettled(2)]).toEqual([false, true]);
  expect(table.arm(2, steps)).toBe(false);
  table.settle(2);
  expect([table.isUnsettled(2), table.arm(2, steps), table.disarm(2)]).toEqual([false, true, true]);
  expect(table.take(2)).toBeNull();
});

test("arm refuses what does not fit", () => {
  const table = fresh();
  const one = step(3, "1");
  for (const steps of [[], [one, one, one, one], [step(3, "x".repeat(57))]]) {
    expect(() => table.arm(2, steps)).toThrow(ObserverError);
  }
  expect(table.take(2)).toBeNull();
});

test("in any order of calls each armed reflex is either taken or taken back, never both", () => {
  const calls = fc.array(fc.constantFrom("arm", "disarm", "take", "settle"), { maxLength: 40 });
  fc.assert(
    fc.property(calls, (order) => {
      const table = fresh();
      let armed: string | null = null;
      let performed = false;
      for (const [index, call] of order.entries()) {
        const name = String(index);
        if (call === "arm") {
          expect(table.arm(2, [step(3, name)])).toBe(!performed);
          if (!performed) armed = name;
        } else if (call === "disarm") {
          expect(table.disarm(2)).toBe(!performed);
          armed = null;
        } else if (call === "take") {
          const taken = table.take(2);
          expect(taken && Buffer.from(taken[0]?.bytes ?? []).toString()).toBe(armed);
          performed ||= armed !== null;
          armed = null;
        } else if (performed) {
          table.settle(2);
          performed = false;
        }
      }
    }),
  );
});

test("equal bits are news once until main looks, other bits are news at once", () => {
  const table = fresh();
  expect([table.isNews(2, 1), table.isNews(2, 1), table.isNews(2, 0x11)]).toEqual([
    true,
    false,
    true,
  ]);
  table.looks(2);
  expect([table.isNews(2, 0), table.isNews(2, 0x11)]).toEqual([false, true]);
  table.retire(2);
  expect([table.generation(2), table.isNews(2, 0x11)]).toEqual([1, true]);
});

test("the generation of a slot starts again after its last", () => {
  const table = fresh();
  for (let index = 0; index < GENERATIONS; index += 1) table.retire(2);
  expect([table.generation(2), table.generation(3)]).toEqual([0, 0]);
});
