// The detectors on real recorded sessions: exactly what the manifest expects, nothing else.

import { describe, expect, test } from "bun:test";
import { rowsOf, findingsOf, troubles } from "../support/detector-scenario.ts";
import { recordedSessions } from "../support/recorded-sessions.ts";

const sessions = await recordedSessions();

describe("detectors on recorded sessions", () => {
  for (const { dir, expected, events } of sessions) {
    test(`${dir} gives exactly the expected interruptions`, () => {
      const wanted = expected.flatMap(({ type, count }) => Array<string>(count).fill(type));
      expect(events.length).toBeGreaterThan(10);
      expect(troubles(events).sort()).toEqual(wanted.sort());
    });
  }

  test("concurrent-cc keeps its two sessions apart", () => {
    const events = sessions.find(({ dir }) => dir === "concurrent-cc")?.events ?? [];
    const first = events[0]?.sessionId;
    const rows = rowsOf(findingsOf(events, { retryLimit: 3 }));
    const retries = rows.filter((row) => row.type === "retry_limit");
    expect(new Set(events.map((event) => event.sessionId)).size).toBe(2);
    expect(retries.map((row) => row.sessionId)).toEqual([first]);
  });

  test("loop-cc names the sequence and counts its repetitions", () => {
    const events = sessions.find(({ dir }) => dir === "loop-cc")?.events ?? [];
    const loops = findingsOf(events).filter((finding) => finding.type === "dead_loop");
    expect(loops.map((loop) => loop.detail["value"])).toEqual([3, 4]);
    expect(new Set(loops.map((loop) => loop.fingerprint)).size).toBe(1);
    expect(loops[0]?.detail["sequence"]).toEqual([
      "Read src/cart.py",
      "Edit src/cart.py",
      "Bash python3 -m unittest -q",
    ]);
    expect(loops[0]?.evidence).toHaveLength(9);
  });
});
