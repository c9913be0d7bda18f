// kill -9 at random moments under load: what was acknowledged is there, once, and nothing else is.

import { expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { join } from "node:path";
import {
  createRoom,
  type Daemon,
  type Row,
  runObserver,
  startDaemon,
  until,
} from "../support/daemon.ts";
import { graveTypes } from "../support/recordings.ts";
import { createRandom, type Random } from "../support/random.ts";

const LONG = process.env["OBSERVER_TEST_LONG"] === "1";
const KILLS = LONG ? 50 : 5;
const CLIENTS = 8;
/** The load runs this long before the kill, at most. */
const LOAD_MS_MAX = 500;
/** A start takes about this long. */
const START_MS_MAX = 150;
const BATCH_EVENTS_MAX = 40;

/** What the clients know. A tag is in the body of every event, whatever its kind. */
interface Ledger {
  sent: Set<string>;
  acknowledged: Set<string>;
  /** Batches without an answer; they may be sent again, because their events carry ids. */
  unanswered: Row[][];
}

interface Client {
  name: string;
  random: Random;
  next: number;
}

const nextTag = (client: Client, ledger: Ledger): string => {
  client.next += 1;
  const tag = `${client.name}-${client.next}`;
  ledger.sent.add(tag);
  return tag;
};

async function postOperation(url: string, client: Client, ledger: Ledger): Promise<void> {
  const tag = nextTag(client, ledger);
  const body = { tag, success: client.random.below(4) > 0, session_id: `s-${client.name}` };
  const response = await fetch(`${url}/event`, { method: "POST", body: JSON.stringify(body) });
  const answer = (await response.json()) as Row;
  expect([response.status, answer["accepted"]]).toEqual([200, true]);
  ledger.acknowledged.add(tag);
}

async function postBatch(url: string, batch: Row[], ledger: Ledger): Promise<void> {
  const place = ledger.unanswered.push(batch) - 1;
  const lines = batch.map((event) => JSON.stringify(event)).join("\n");
  const response = await fetch(`${url}/events`, { method: "POST", body: lines });
  const answer = (await response.json()) as Row;
  expect([response.status, answer["rejected"]]).toEqual([200, []]);
  expect(Number(answer["accepted"]) + Number(answer["duplicates"])).toBe(batch.length);
  for (const { tag } of batch) ledger.acknowledged.add(String(tag));
  ledger.unanswered[place] = [];
}

function newBatch(client: Client, ledger: Ledger): Row[] {
  return Array.from({ length: 1 + client.random.below(BATCH_EVENTS_MAX) }, () => {
    const tag = nextTag(client, ledger);
    // Of two sources, some without a session, some large enough to span pages of the database.
    const note = "x".repeat(client.random.below(10) === 0 ? 9_000 : 20);
    const session = client.random.below(5) === 0 ? {} : { session_id: `s-${client.name}` };
    return { kind: "note", id: `id-${tag}`, source: `from-${client.name}`, tag, note, ...session };
  });
}

/** A call that fails: five of them are an interruption, so that commits with interruptions are killed too. */
async function postHooks(url: string, client: Client, ledger: Ledger): Promise<void> {
  const call = {
    session_id: `hook-${client.name}`,
    cwd: "/nowhere",
    tool_name: "Bash",
    tool_input: { command: "make" },
    tool_use_id: `call-${client.name}-${client.next}`,
  };
  for (const end of [
    { hook_event_name: "PreToolUse" },
    { hook_event_name: "PostToolUseFailure", error: "Exit code 2" },
  ]) {
    const tag = nextTag(client, ledger);
    const response = await fetch(`${url}/hooks/claude-code`, {
      method: "POST",
      body: JSON.stringify({ ...call, ...end, tag }),
    });
    // A hook's 200 promises nothing: it is not entered as acknowledged.
    expect([response.status, await response.json()]).toEqual([200, {}]);
  }
}

/** Runs until the daemon is gone; only then may a request fail. */
async function load(daemon: Daemon, { client, ledger, gone }: Load): Promise<void> {
  try {
    for (;;) {
      const what = client.random.below(10);
      if (what < 4) await postOperation(daemon.url, client, ledger);
      else if (what < 8) await postBatch(daemon.url, newBatch(client, ledger), ledger);
      else await postHooks(daemon.url, client, ledger);
    }
  } catch (thrown) {
    // An answer that is not what was promised is a failure also when it came just before the kill.
    if (thrown instanceof Error && "matcherResult" in thrown) throw thrown;
    if (!gone()) throw thrown;
  }
}

interface Load {
  client: Client;
  ledger: Ledger;
  gone: () => boolean;
}

const tagOf = (row: Row): string => {
  const data = typeof row["data"] === "string" ? (JSON.parse(row["data"]) as Row) : row;
  const raw = data["tag"] ?? (data["extra"] as Row | undefined)?.["tag"];
  return String(raw);
};

function checkTags(rows: Row[], { sent, acknowledged }: Ledger, where: string): void {
  // What the kernel tells of the host meanwhile was sent by nobody.
  const tags = rows.filter((row) => row["source"] !== "kernel").map(tagOf);
  const stored = new Set(tags);
  const missing = [...acknowledged].filter((tag) => !stored.has(tag));
  const invented = [...stored].filter((tag) => !sent.has(tag));
  const seen = new Set<string>();
  const twice = tags.filter((tag) => seen.size === seen.add(tag).size);
  expect({ where, missing, invented, twice }).toEqual({
    where,
    missing: [],
    invented: [],
    twice: [],
  });
}

async function checkLive(daemon: Daemon, ledger: Ledger): Promise<void> {
  const events = await daemon.list("/events");
  checkTags(events, ledger, "GET /events");
  const counted = new Map<string, number>();
  for (const event of events) {
    const session = event["session_id"] as string | null;
    if (session === null) continue;
    counted.set(session, (counted.get(session) ?? 0) + 1);
  }
  const sessions = await daemon.list("/sessions");
  expect(new Map(sessions.map(({ id, events }) => [String(id), Number(events)]))).toEqual(counted);

  const operations = events.filter(({ kind }) => kind === "operation");
  const { body: stats } = await daemon.get("/stats");
  expect((stats["all_time"] as Row)["total"]).toBe(operations.length);
  expect((await daemon.list("/events?kind=operation")).length).toBe(operations.length);
  const ids = new Set(events.map(({ id }) => id));
  expect(ids.size).toBe(events.length);
  const interruptions = await daemon.list("/interruptions");
  for (const { evidence } of interruptions) {
    expect((evidence as string[]).filter((id) => !ids.has(id))).toEqual([]);
  }
  // A hook session that failed often enough has its one trouble, whatever was killed in between.
  for (const [session, count] of counted) {
    if (!session.startsWith("hook-") || count < 12) continue;
    const own = interruptions.filter(({ session_id }) => session_id === session);
    expect([session, graveTypes(own)]).toEqual([session, ["retry_limit"]]);
  }
  const reactions = await daemon.list("/reactions");
  expect(reactions.filter(({ status }) => status === "pending")).toEqual([]);
}

function checkFile(path: string, ledger: Ledger): void {
  const database = new Database(path, { readonly: true });
  try {
    expect(database.query("PRAGMA integrity_check").all()).toEqual([{ integrity_check: "ok" }]);
    const rows = database.query<Row, []>("SELECT * FROM events").all();
    checkTags(rows, ledger, "observer.db");
  } finally {
    database.close();
  }
}

/** A start repairs what the kill before left; it must bear a kill of its own. */
async function killDuringStart(data: string, random: Random): Promise<void> {
  const args = ["serve", "--port", "0", "--data", data];
  await runObserver(args, { timeoutMs: 1 + random.below(START_MS_MAX) });
}

test(
  `kill -9 at ${KILLS} random moments under ${CLIENTS} clients: every acknowledged event is there, exactly once`,
  async () => {
    const seed = Number(
      process.env["OBSERVER_TEST_SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0],
    );
    console.log(`kill -9: seed ${seed}; OBSERVER_TEST_SEED=${seed} runs it again`);
    const random = createRandom(seed);
    using room = createRoom();
    const data = join(room.path, "data");
    const ledger: Ledger = { sent: new Set(), acknowledged: new Set(), unanswered: [] };
    const clients = Array.from({ length: CLIENTS }, (_, index): Client => {
      return { name: `c${index}`, random: createRandom(random.below(2 ** 31)), next: 0 };
    });

    let resent = 0;
    for (let kill = 0; kill < KILLS; kill += 1) {
      if (random.below(3) === 0) await killDuringStart(data, random);
      await using daemon = await startDaemon({ data });
      for (const batch of ledger.unanswered.splice(0)) {
        if (batch.length === 0 || random.below(2) === 0) continue;
        resent += 1;
        await postBatch(daemon.url, batch, ledger);
      }
      let gone = false;
      const running = clients.map((client) => load(daemon, { client, ledger, gone: () => gone }));
      await Bun.sleep(random.below(LOAD_MS_MAX));
      gone = true;
      await daemon.kill9();
      await Promise.all(running);
    }

    await using daemon = await startDaemon({ data });
    await until("reactions under way ended", async () => {
      const pending = await daemon.list("/reactions?status=pending");
      return pending.length === 0;
    });
    await checkLive(daemon, ledger);
    expect(await daemon.stop()).toBe(0);
    checkFile(join(data, "observer.db"), ledger);
    const { sent, acknowledged } = ledger;
    console.log(
      `kill -9: ${KILLS} kills, ${sent.size} events sent, ${acknowledged.size} acknowledged, ${resent} batches sent again`,
    );
    expect(acknowledged.size).toBeGreaterThan(KILLS * 10);
  },
  LONG ? 300_000 : 60_000,
);
