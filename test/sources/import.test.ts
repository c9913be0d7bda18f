// Importing files: which source reads what, compressed files, bad lines, and importing twice.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";

import * as fc from "fast-check";

import { FILE_SOURCES } from "../../src/sources/catalog.ts";
import { readDrafts } from "../../src/sources/import.ts";
import { readLines } from "../../src/sources/lines.ts";
import { SESSIONS, checkDraft, countBy, importAll } from "./support.ts";

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "observer-import-"));
});
afterAll(() => rm(dir, { recursive: true }));

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(dir, name);
  await Bun.write(path, content);
  return path;
}

const OP = {
  timestamp: "2026-11-20T10:00:00.000Z",
  endpoint: "/fill",
  input_summary: "x",
  success: true,
};
const NATIVE = { kind: "note", note: "x", time: "2026-11-20T10:00:00Z" };

describe("readDrafts", () => {
  test("reads ops.jsonl, keeps equal lines distinct, and gives the same ids again", async () => {
    const line = JSON.stringify({ ...OP, duration_ms: 5, output_summary: "y" });
    const other = JSON.stringify({ ...OP, success: false, error: "e", source: "scenario" });
    const path = await file("ops.jsonl", `${line}\n${line}\n${other}\n`);
    const { drafts, errors } = await importAll(path);
    expect(errors).toEqual([]);
    expect(drafts.map(({ kind, source }) => [kind, source])).toEqual([
      ["operation", "mcp"],
      ["operation", "mcp"],
      ["operation", "scenario"],
    ]);
    const ids = drafts.map(({ id }) => id);
    expect(new Set(ids).size).toBe(3);
    expect((await importAll(path)).drafts.map(({ id }) => id)).toEqual(ids);
  });

  test("leaves an operation without a readable time to the time of receipt", async () => {
    const lines = [
      { ...OP, timestamp: "soon" },
      { endpoint: "/x", success: true },
    ];
    const path = await file("no-time.jsonl", lines.map((line) => JSON.stringify(line)).join("\n"));
    const { drafts } = await importAll(path);
    expect(drafts.map(({ timeMs, data }) => [timeMs, data["timestamp"]])).toEqual([
      [undefined, "soon"],
      [undefined, undefined],
    ]);
  });

  test("reads native events and gives those without an id one", async () => {
    const lines = [
      NATIVE,
      { ...NATIVE, id: "mine" },
      { kind: "operation", success: true },
      { kind: "nope" },
    ];
    const path = await file("native.ndjson", lines.map((line) => JSON.stringify(line)).join("\n"));
    const { drafts, errors } = await importAll(path);
    expect(drafts.map(({ id }) => id)).toEqual([
      expect.stringMatching(/^line:/),
      "mine",
      expect.stringMatching(/^line:/),
    ]);
    expect(drafts[2]?.timeMs).toBeUndefined();
    expect(errors).toEqual([expect.stringContaining('event field "kind": got "nope"')]);
  });

  test("reads a hook recording on its own clock and with the hook's keys", async () => {
    const { drafts, errors } = await importAll(join(SESSIONS, "healthy-cc/hook-input.ndjson"));
    expect(errors).toEqual([]);
    drafts.forEach((draft) => checkDraft(draft));
    expect(countBy(drafts)["tool_call"]).toBe(8);
    const times = drafts.map(({ timeMs }) => timeMs ?? 0);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    // The file's own time is not whole milliseconds, so each rounding may differ by one.
    expect(Math.abs((times.at(-1) ?? 0) - (times[0] ?? 0) - 6_906)).toBeLessThanOrEqual(1);
    expect(drafts.find(({ kind }) => kind === "tool_call")?.id).toMatch(
      /^00ad39e7-.*:toolu_\w+:call$/,
    );
    expect(new Set(drafts.map(({ id }) => id)).size).toBe(drafts.length);
  });

  test("reads the compressed recording to the end of its clock", async () => {
    const path = join(SESSIONS, "cost-cc/hook-input.ndjson.gz");
    const { drafts } = await importAll(path);
    expect(countBy(drafts)["tool_result"]).toBe(36);
    const late = (drafts.at(-1)?.timeMs ?? 0) - Bun.file(path).lastModified;
    expect(Math.abs(late)).toBeLessThanOrEqual(1);
  });

  test("reads an agent-strace session by its directory", async () => {
    const { drafts } = await importAll(join(SESSIONS, "retry-cc"));
    expect(countBy(drafts)).toMatchObject({ tool_call: 9, tool_result: 9 });
  });

  test.each<[string, (text: string) => Uint8Array]>([
    ["gz", (text) => gzipSync(text)],
    ["zst", (text) => zstdCompressSync(text)],
  ])("reads %s whatever the file is called", async (name, pack) => {
    const text = `${JSON.stringify(NATIVE)}\n`.repeat(1_000);
    const { drafts } = await importAll(await file(`packed-${name}`, pack(text)));
    expect(drafts).toHaveLength(1_000);
  });

  test("reports the damaged end of a compressed file and keeps what came before", async () => {
    const lines = Array.from({ length: 5_000 }, (_, n) =>
      JSON.stringify({ ...NATIVE, n, r: Bun.hash(`${n}`).toString() }),
    );
    const packed = gzipSync(lines.join("\n"));
    const { drafts, errors } = await importAll(
      await file("cut.gz", packed.subarray(0, packed.length / 2)),
    );
    expect(drafts.length).toBeGreaterThan(100);
    expect(errors.at(-1)).toContain("Cannot read");
  });

  test("reports bad lines with their number and reads on", async () => {
    const good = JSON.stringify(NATIVE);
    const path = await file("mixed.ndjson", `\ufeff${good}\r\n\n{"kind":\n5\n${good}`);
    const seen: [number, number, boolean][] = [];
    for await (const { index, drafts, error } of readDrafts(path)) {
      seen.push([index, drafts.length, error !== undefined]);
    }
    expect(seen).toEqual([
      [0, 1, false],
      [2, 0, true],
      [3, 0, true],
      [4, 1, false],
    ]);
  });

  test("refuses what it cannot read, and says what it could", async () => {
    const path = await file("prose.txt", "hello\nworld\n");
    const refusal = (of: string): Promise<unknown> =>
      importAll(of).catch((thrown: unknown) => thrown);
    expect(await refusal(path)).toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("hook-recording, agent-strace"),
    });
    expect(await refusal(join(dir, "missing"))).toMatchObject({ code: "not_found" });
    expect(await refusal(dir)).toMatchObject({ code: "unsupported" });
    expect(await importAll(await file("empty", ""))).toEqual({ drafts: [], errors: [] });
  });

  test("has one source for each recorded file", async () => {
    const names = await Promise.all(
      ["healthy-cc/hook-input.ndjson", "healthy-cc/events.ndjson"].map(async (name) => {
        const first = (await Bun.file(join(SESSIONS, name)).text()).split("\n").slice(0, 3);
        return FILE_SOURCES.filter((source) => source.recognises(first, name)).map(
          ({ name }) => name,
        );
      }),
    );
    expect(names).toEqual([["hook-recording"], ["agent-strace"]]);
  });
});

describe("readLines", () => {
  const lines = async (path: string, lineBytesMax: number) => {
    const all: string[] = [];
    for await (const line of readLines(path, { lineBytesMax })) {
      all.push(`${line.index}:${"text" in line ? line.text : `error ${line.error}`}`);
    }
    return all;
  };

  test("skips a line that is too long, and only that", async () => {
    const path = await file("long", `a\n${"x".repeat(200_000)}\nb`);
    expect(await lines(path, 100)).toEqual([
      "0:a",
      "1:error line of 200000 bytes, at most 100 are read",
      "2:b",
    ]);
  });

  test("gives the lines of any text, wherever chunks end", async () => {
    const word = fc
      .string({ unit: "grapheme", maxLength: 20 })
      .map((text) => text.replace(/[\r\n\ufeff]/g, ""));
    await fc.assert(
      fc.asyncProperty(fc.array(word, { maxLength: 50 }), async (words) => {
        const path = await file("any", words.join("\n"));
        const expected = words.flatMap((text, index) =>
          text.trim() === "" ? [] : [`${index}:${text.trim()}`],
        );
        expect(await lines(path, 1_000)).toEqual(expected);
      }),
      { numRuns: 50 },
    );
  });

  test("replaces bytes that are not UTF-8", async () => {
    const path = await file("latin", new Uint8Array([0x61, 0xff, 0x62, 0x0a, 0x63]));
    expect(await lines(path, 100)).toEqual(["0:a\ufffdb", "1:c"]);
  });
});
