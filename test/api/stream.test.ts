import { expect, test } from "bun:test";
import { bodyOf, caller, createFake, event, interruption } from "../support/fake-api-deps.ts";

interface Message {
  id?: string;
  event?: string;
  data?: string;
  comment?: string;
}

/** Reads messages of an event stream until `done` says that it has seen enough. */
async function read(response: Response, done: (all: Message[]) => boolean): Promise<Message[]> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let messages: Message[] = [];
  while (!done(messages)) {
    const chunk = await reader.read();
    if (chunk.done) break;
    text += chunk.value;
    messages = text.split("\n\n").slice(0, -1).map(parse);
  }
  await reader.cancel();
  return messages;
}

function parse(block: string): Message {
  const message: Record<string, string> = {};
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    message[at === 0 ? "comment" : line.slice(0, at)] = line.slice(at + 1).trim();
  }
  return message;
}

test("GET /stream greets with the counts and then sends what happens, as the API shows it", async () => {
  const fake = createFake();
  const { call } = caller(fake);
  const response = await call("/stream");
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  fake.deps.live.publish("event", event("e1", { note: "a\nb" }));
  fake.deps.live.publish("interruption", interruption("i1"));
  fake.deps.live.publish("stats", { total: 5 });
  const messages = await read(response, (all) => all.length >= 5);
  expect(messages.map(({ event }) => event)).toEqual([
    undefined,
    "stats",
    "event",
    "interruption",
    "stats",
  ]);
  expect(messages[0]).toHaveProperty("retry");
  expect(messages[2]?.id).toBe("1");
  expect(JSON.parse(messages[2]?.data ?? "")).toMatchObject({ id: "e1", note: "a\nb" });
  expect(JSON.parse(messages[3]?.data ?? "")).toMatchObject({ id: "i1", type: "dead_loop" });
  expect(fake.deps.metrics.get("observer_stream_subscribers")).toBe(0);
});

test("Last-Event-ID resumes after that frame, without a gap or a repetition", async () => {
  const fake = createFake();
  const { call } = caller(fake);
  const other = await call("/stream");
  for (const id of ["e1", "e2", "e3"]) fake.deps.live.publish("event", event(id));
  const resumed = await call("/stream", { headers: { "last-event-id": "1" } });
  fake.deps.live.publish("event", event("e4"));
  const ids = (all: Message[]) => all.flatMap(({ id }) => (id === undefined ? [] : [id]));
  expect(ids(await read(resumed, (all) => ids(all).length >= 3))).toEqual(["2", "3", "4"]);
  expect(ids(await read(other, (all) => ids(all).length >= 4))).toEqual(["1", "2", "3", "4"]);
  const byQuery = await call("/stream?last_event_id=3");
  expect(ids(await read(byQuery, (all) => ids(all).length >= 1))).toEqual(["4"]);
});

test("GET /stream takes ids as large as microseconds since the epoch, and nothing that is no id", async () => {
  const { call } = caller(createFake());
  const status = async (id: string) => {
    const response = await call("/stream", { headers: { "last-event-id": id } });
    await response.body?.cancel();
    return response.status;
  };
  expect(await status("1767225600000000")).toBe(200);
  expect(await status(String(Number.MAX_SAFE_INTEGER))).toBe(200);
  for (const id of ["x", "-1", "1.5", "9999999999999999", "99999999999999999"]) {
    expect(await status(id)).toBe(400);
  }
});

test("GET /stream sends at most 100 events a tick and counts the rest, but every interruption", async () => {
  const fake = createFake();
  const { call } = caller(fake);
  const response = await call("/stream");
  for (let at = 0; at < 150; at += 1) fake.deps.live.publish("event", event(`e${at}`));
  for (let at = 0; at < 150; at += 1)
    fake.deps.live.publish("interruption", interruption(`i${at}`));
  const messages = await read(response, (all) => all.some(({ id }) => id === "300"));
  const of = (type: string) => messages.filter(({ event }) => event === type).length;
  expect(of("event")).toBe(100);
  expect(of("interruption")).toBe(150);
  expect(messages.some(({ comment }) => comment === "50 events left out")).toBe(true);
  expect(fake.deps.metrics.get("observer_stream_dropped_total")).toBe(50);
});

test("GET /stream drops frames for a subscriber that does not read, and tells it so", async () => {
  const fake = createFake();
  const { call } = caller(fake);
  const lazy = await call("/stream");
  const big = "x".repeat(600_000);
  for (let at = 0; at < 4; at += 1) {
    fake.deps.live.publish("interruption", { ...interruption(`i${at}`), summary: big });
    await Bun.sleep(130);
  }
  const dropped = fake.deps.metrics.get("observer_stream_dropped_total");
  expect(dropped).toBeGreaterThanOrEqual(1);
  expect(dropped).toBeLessThanOrEqual(3);
  const messages = read(lazy, (all) => all.some(({ comment }) => comment?.includes("dropped")));
  await Bun.sleep(20);
  fake.deps.live.publish("interruption", interruption("last"));
  expect((await messages).some(({ comment }) => comment === `${dropped} frames dropped`)).toBe(
    true,
  );
});

test("GET /stream has a limited number of places, which become free again", async () => {
  const fake = createFake({ "limits.stream_subscribers": 2 });
  const { call } = caller(fake);
  const open = [await call("/stream"), await call("/stream")];
  const third = await call("/stream");
  expect(third.status).toBe(503);
  expect(third.headers.get("retry-after")).toBe("10");
  expect(await bodyOf(third)).toMatchObject({ code: "streams_full" });
  await open[0]?.body?.cancel();
  const fourth = await call("/stream");
  expect(fourth.status).toBe(200);
  await open[1]?.body?.cancel();
  await fourth.body?.cancel();
});

test("close ends the streams with what was still to be sent", async () => {
  const fake = createFake();
  const { api, call } = caller(fake);
  const response = await call("/stream");
  fake.deps.live.publish("event", event("e1"));
  api.close();
  const messages = await read(response, () => false);
  expect(messages.at(-1)).toMatchObject({ event: "event", id: "1" });
});
