// All detectors together: robust, bounded, and the same in whatever order they run.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { EVENT_KINDS, type EventData, type ObserverEvent } from "../../src/core/event.ts";
import { EVIDENCE_MAX, type Finding, INTERRUPTION_SEVERITY } from "../../src/core/interruption.ts";
import { createDetectors, DEFAULT_DETECTOR_OPTIONS } from "../../src/detectors/catalog.ts";
import { createLruMap } from "../../src/detectors/lru-map.ts";
import {
  event,
  failing,
  findingsOf,
  inOrder,
  passing,
  times,
} from "../support/detector-scenario.ts";

const FIELDS = [
  "tool",
  "call_id",
  "input",
  "ok",
  "output",
  "error",
  "error_type",
  "duration_ms",
  "status",
  "prompt",
  "note",
  "exit_code",
  "signal",
  "core_dumped",
  "in_flight",
  "cwd",
  "agent_id",
  "success",
  "is_interrupt",
  "stop_reason",
  "provider",
  "model",
  "victim_pid",
  "message",
  "error_details",
];

// Data of any shape: the types of EventData are promises of senders, not facts.
const anyData = fc.dictionary(
  fc.constantFrom(...FIELDS),
  fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom("Bash", "c1", "SIGKILL", "turn_end", "prompt is too long"),
    fc.constantFrom(true, false, 400, 413, 529, 137),
  ),
) as fc.Arbitrary<EventData>;

const anyEvent: fc.Arbitrary<ObserverEvent> = fc.record(
  {
    seq: fc.constant(0),
    id: fc.constant(""),
    kind: fc.constantFrom(...EVENT_KINDS),
    source: fc.constantFrom("a", "b"),
    timeMs: fc.oneof(fc.integer(), fc.constant(Number.NaN)),
    receivedMs: fc.constant(0),
    host: fc.constant("h"),
    sessionId: fc.constantFrom("s1", "s2"),
    agent: fc.string(),
    pid: fc.nat(3),
    data: anyData,
  },
  { requiredKeys: ["seq", "id", "kind", "source", "timeMs", "receivedMs", "host", "data"] },
);

describe("createDetectors", () => {
  test("has one detector for each type", () => {
    const types = createDetectors(DEFAULT_DETECTOR_OPTIONS).map(({ type }) => type);
    expect(types.sort()).toEqual((Object.keys(INTERRUPTION_SEVERITY) as typeof types).sort());
  });

  test("takes any event without throwing and gives well-formed findings", () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 40 }), (events) => {
        for (const finding of findingsOf(events)) {
          expect(finding.fingerprint).not.toBe("");
          expect(finding.summary).not.toContain("\n");
          expect(finding.summary.length).toBeLessThanOrEqual(300);
          expect(finding.evidence.length).toBeWithin(1, EVIDENCE_MAX + 1);
          expect(Number.isNaN(finding.timeMs)).toBe(false);
          expect(JSON.parse(JSON.stringify(finding))).toEqual(finding);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("takes hostile depth and size", () => {
    let deep: unknown = "x";
    for (let i = 0; i < 20_000; i += 1) deep = [deep];
    const input = { deep, file_path: "a".repeat(1_000_000) };
    const events = [
      event("tool_call", { tool: "Read", input }),
      event("tool_result", { tool: "Read", output: deep, error: "e".repeat(1_000_000) }),
    ];
    const [finding] = findingsOf(events);
    expect(JSON.stringify(finding).length).toBeLessThan(2_000);
  });

  test("gives the same findings event by event and detector by detector", () => {
    const events = inOrder([
      ...times(12, (i) => [...passing("ls"), ...passing(`cat ${i % 2}`), ...failing("make")]),
      ...passing("other"),
      ...times(6, () => failing("make")),
    ]);
    const one = createDetectors(DEFAULT_DETECTOR_OPTIONS);
    const other = createDetectors(DEFAULT_DETECTOR_OPTIONS);
    const byEvent = events.flatMap((event) => one.flatMap((detector) => detector.observe(event)));
    const byDetector = other.flatMap((detector) =>
      events.flatMap((event) => detector.observe(event)),
    );
    const key = (finding: Finding): string => JSON.stringify(finding);
    expect(byEvent.length).toBeGreaterThan(10);
    expect(byDetector.map(key).sort()).toEqual(byEvent.map(key).sort());
  });

  test("forgets the session that was quiet for longest when there are too many", () => {
    const flood = times(3, (i) => passing("ls", "x", { sessionId: `flood-${i}` }));
    const fails = times(4, () => failing("make"));
    const retries = (lanesMax: number): number =>
      findingsOf([...fails, ...flood, ...failing("make")], { lanesMax }).filter(
        ({ type }) => type === "retry_limit",
      ).length;
    expect(retries(4)).toBe(1);
    expect(retries(1)).toBe(1);
    const noisy = times(3, (i) => failing("make", "no", { sessionId: `flood-${i}` }));
    expect(
      findingsOf([...fails, ...noisy, ...failing("make")], { lanesMax: 2 }).map(({ type }) => type),
    ).not.toContain("retry_limit");
  });
});

describe("createLruMap", () => {
  test("never holds more than its limit and keeps what was used last", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20)), fc.integer({ min: 1, max: 8 }), (keys, max) => {
        const map = createLruMap<number, number>(max);
        for (const key of keys) map.ensure(key, () => key);
        const recent = [...new Set(keys.toReversed())].slice(0, max);
        expect(map.size).toBe(recent.length);
        for (const key of recent) expect(map.get(key)).toBe(key);
      }),
    );
  });
});
