import { expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { SLICE_EVENTS_MAX } from "../../src/api/batch.ts";
import type { Receipt } from "../../src/core/event.ts";
import { parseNative } from "../../src/sources/native.ts";
import { bodyOf, caller, createFake, OWN_UID } from "../support/fake-api-deps.ts";

const post = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) => ({
  method: "POST",
  body,
  headers,
});
const note = (text: string): string => JSON.stringify({ kind: "note", note: text });

test("POST /events takes a JSON array, NDJSON, one line and one object over several lines", async () => {
  const bodies = [
    `\n [${note("a")},${note("b")}]`,
    `${note("a")}\n\r\n${note("b")}\n`,
    note("a"),
    JSON.stringify({ kind: "note", note: "a" }, null, 2),
  ];
  const taken: unknown[] = [];
  for (const body of bodies) {
    const fake = createFake();
    taken.push(await bodyOf(await caller(fake).call("/events", post(body))));
    expect(fake.offered[0]?.data.note).toBe("a");
  }
  const answer = (accepted: number) => ({
    accepted,
    duplicates: 0,
    rejected: [],
    rejected_total: 0,
  });
  expect(taken).toEqual([answer(2), answer(2), answer(1), answer(1)]);
});

test("POST /events rejects bad lines by their position and keeps the others", async () => {
  const fake = createFake();
  const lines = [note("a"), "", "not json", '{"no":"kind"}', "7", note("b"), '{"half":'];
  const answer = await bodyOf(await caller(fake).call("/events", post(lines.join("\n"))));
  expect(answer).toMatchObject({ accepted: 2, duplicates: 0, rejected_total: 4 });
  const rejected = answer["rejected"] as { index: number; error: string }[];
  expect(rejected.map(({ index }) => index)).toEqual([1, 2, 3, 5]);
  expect(rejected.every(({ error }) => error.length > 0)).toBe(true);
  expect(fake.offered.map(({ data }) => data.note)).toEqual(["a", "b"]);
});

test.each(['{"half":', "null", "7", '"text"', "hello\nworld", "1\n[]\n{", "kind=note"])(
  "POST /events refuses %j, which holds no event",
  async (body) => {
    const fake = createFake();
    const response = await caller(fake).call("/events", post(body));
    expect(response.status).toBe(400);
    expect(await bodyOf(response)).toMatchObject({ code: "invalid" });
    expect(fake.offered).toEqual([]);
  },
);

test("POST /events gives items of an array the same positions", async () => {
  const body = `[${note("a")},7,null,${note("b")},[]]`;
  const answer = await bodyOf(await caller(createFake()).call("/events", post(body)));
  expect((answer["rejected"] as { index: number }[]).map(({ index }) => index)).toEqual([1, 2, 4]);
});

test("POST /events rejects one item that is nested too deeply", async () => {
  const deep = `{"kind":"note","a":${"[".repeat(100)}${"]".repeat(100)}}`;
  for (const body of [`[${note("a")},${deep}]`, `${note("a")}\n${deep}`]) {
    const answer = await bodyOf(await caller(createFake()).call("/events", post(body)));
    expect(answer).toMatchObject({ accepted: 1, rejected: [{ index: 1 }] });
  }
});

test.each(["", " ", "[", '[{"kind":"note"}', "[1,]"])(
  "POST /events refuses the unreadable body %p",
  async (body) => {
    const fake = createFake();
    expect((await caller(fake).call("/events", post(body))).status).toBe(400);
    expect(fake.slices).toEqual([]);
  },
);

test("POST /events offers a large body in slices", async () => {
  const fake = createFake();
  const body = Array.from({ length: 2 * SLICE_EVENTS_MAX + 1 }, (_, at) => note(`${at}`));
  const answer = await bodyOf(await caller(fake).call("/events", post(body.join("\n"))));
  expect(answer["accepted"]).toBe(2 * SLICE_EVENTS_MAX + 1);
  expect(fake.slices).toEqual([SLICE_EVENTS_MAX, SLICE_EVENTS_MAX, 1]);
});

test("POST /events counts duplicates and reports conflicts by position", async () => {
  const fake = createFake();
  const receipts: Receipt[] = [
    { status: "accepted", id: "a", seq: 1 },
    { status: "duplicate", id: "b" },
    { status: "rejected", code: "conflict", reason: "conflict: id is used with another body" },
  ];
  fake.answerWith(async () => receipts);
  const body = [note("a"), note("b"), note("c")].join("\n");
  const answer = await bodyOf(await caller(fake).call("/events", post(body)));
  expect(answer).toMatchObject({ accepted: 1, duplicates: 1, rejected_total: 1 });
  expect(answer["rejected"]).toEqual([
    { index: 2, error: "conflict: id is used with another body" },
  ]);
});

test("POST /events answers 503 or 507 when nothing could be kept", async () => {
  for (const [code, reason, status] of [
    ["overloaded", "the inbox takes no more", 503],
    ["storage", "database or disk is full", 507],
    ["storage", "disk failed", 503],
  ] as const) {
    const fake = createFake();
    fake.answerWith(async (drafts) => drafts.map(() => ({ status: "rejected", code, reason })));
    const response = await caller(fake).call("/events", post(`[${note("a")}]`));
    expect(response.status).toBe(status);
    expect(response.headers.get("retry-after")).toBe("1");
  }
});

test("POST /events stops offering when storage fails half-way, and says so of each event", async () => {
  const fake = createFake();
  let slices = 0;
  fake.answerWith(async (drafts) => {
    slices += 1;
    return drafts.map((_, seq) =>
      slices === 1
        ? { status: "accepted", id: `${seq}`, seq }
        : { status: "rejected", code: "storage", reason: "disk failed" },
    );
  });
  const body = Array.from({ length: 3 * SLICE_EVENTS_MAX }, (_, at) => note(`${at}`)).join("\n");
  const answer = await bodyOf(await caller(fake).call("/events", post(body)));
  expect(answer).toMatchObject({
    accepted: SLICE_EVENTS_MAX,
    rejected_total: 2 * SLICE_EVENTS_MAX,
  });
  expect(slices).toBe(2);
});

test("POST /events survives a parser that has a bug", async () => {
  const fake = createFake();
  const parse = fake.deps.parseNative;
  fake.deps.parseNative = (body, now) => {
    if ((body as { note?: string }).note === "bug") throw new TypeError("x is undefined");
    return parse(body, now);
  };
  const answer = await bodyOf(
    await caller(fake).call("/events", post(`${note("bug")}\n${note("a")}`)),
  );
  expect(answer).toMatchObject({ accepted: 1, rejected: [{ index: 0 }] });
  expect(fake.logged.join()).toContain("event parser failed");
});

test.each([
  ["gzip", gzipSync],
  ["zstd", zstdCompressSync],
  ["identity", (text: string) => Buffer.from(text)],
])("POST /events unpacks %s", async (encoding, pack) => {
  const fake = createFake();
  const body = Uint8Array.from(pack(`${note("a")}\n${note("b")}`));
  const response = await caller(fake).call("/events", post(body, { "content-encoding": encoding }));
  expect(await bodyOf(response)).toMatchObject({ accepted: 2 });
});

test.each([
  ["gzip", gzipSync],
  ["zstd", zstdCompressSync],
])("POST /events refuses a %s bomb", async (encoding, pack) => {
  const fake = createFake({ "limits.batch_bytes": 1 << 20 });
  const bomb = Uint8Array.from(pack(Buffer.alloc(64 << 20, 0x20)));
  const response = await caller(fake).call("/events", post(bomb, { "content-encoding": encoding }));
  expect(response.status).toBe(413);
});

test("POST /events refuses what is not packed as it says, and packings it does not know", async () => {
  const { call } = caller(createFake());
  expect((await call("/events", post(note("a"), { "content-encoding": "gzip" }))).status).toBe(400);
  expect((await call("/events", post(note("a"), { "content-encoding": "br" }))).status).toBe(415);
  const cut = Uint8Array.from(gzipSync(note("a")).subarray(0, 20));
  expect((await call("/events", post(cut, { "content-encoding": "gzip" }))).status).toBe(400);
});

test("POST /events lists at most 10,000 rejections and counts them all", async () => {
  const body = `{}\n${"x\n".repeat(11_999)}`;
  const answer = await bodyOf(await caller(createFake()).call("/events", post(body)));
  expect((answer["rejected"] as unknown[]).length).toBe(10_000);
  expect(answer["rejected_total"]).toBe(12_000);
});

test("POST /events believes events in the name of the kernel from observer's own user and root only", async () => {
  const exit = { kind: "process_exit", source: "kernel", id: "exit:12345678:7:7", pid: 7 };
  const body = `${note("a")}\n${JSON.stringify(exit)}`;
  const sourcesSentBy = async (uid: number, path = "/events") => {
    const fake = createFake();
    Object.assign(fake.deps, { parseNative, peerUid: () => uid });
    const answer = await caller(fake).call(path, { ...post(body), via: "loopback" });
    expect(await bodyOf(answer)).toMatchObject({ accepted: 2 });
    return fake.offered.map(({ source }) => source);
  };
  expect(await sourcesSentBy(4_242)).toContain("reported:kernel");
  expect(await sourcesSentBy(4_242, "/events?import=true")).toContain("reported:kernel");
  expect(await sourcesSentBy(OWN_UID)).toContain("kernel");
});
