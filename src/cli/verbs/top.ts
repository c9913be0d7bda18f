// `observer top`: agents, their memory and their trouble, once a second.

import { messageOf } from "../../core/errors.ts";
import { ApiError, type Client, type Json, NoDaemonError } from "../client.ts";
import { CLIENT_FLAGS, JSON_FLAG } from "../flags.ts";
import { paintOf, printJson } from "../output.ts";
import { text } from "../show.ts";
import { type TopData, topFrame, type TopState } from "../top-frame.ts";
import type { Call, Verb } from "../verb.ts";

/** More agents than a screen has lines are not asked for. */
const AGENTS_MAX = "100";
/** Sessions whose errors and cost are looked up; each is one small request. */
const SESSIONS_MAX = 20;
const INTERRUPTIONS_MAX = "5";
/** A frame that is printed once is not cut. */
const ROWS_UNLIMITED = 10_000;
const HTTP_NOT_FOUND = 404;

export const topVerb: Verb = {
  name: "top",
  group: "Look",
  summary: "agents, memory, time to limit and trouble, every second",
  about: "Ends with q. Without a terminal it prints one frame.",
  flags: [{ name: "once", help: "Print one frame and end." }, JSON_FLAG, ...CLIENT_FLAGS],
  examples: ["observer top", "observer top --once", "observer top --json"],
  async run(call) {
    const { io, flags } = call;
    // The first answer decides: who cannot be reached or does not know us is no screen.
    let last: TopState = { data: await look(call.client()) };
    if (flags.on("json")) return printJson(call, last.data);
    const paint = paintOf(call);
    if (flags.on("once") || !io.outputIsTty) {
      const size = { columns: io.columns, rows: ROWS_UNLIMITED };
      io.stdout(topFrame(last, { size, paint, nowMs: io.clock.now() }));
      return 0;
    }
    return await call.local.showLive(async (size) => {
      last = await next(call, last);
      return topFrame(last, { size, paint, nowMs: io.clock.now() });
    });
  },
};

/** What is shown next; a daemon that went away leaves what was seen last. */
async function next(call: Call, last: TopState): Promise<TopState> {
  try {
    return { data: await look(call.client()) };
  } catch (thrown) {
    if (!(thrown instanceof NoDaemonError) && !(thrown instanceof ApiError)) throw thrown;
    return { trouble: messageOf(thrown), data: last.data };
  }
}

async function look(client: Client): Promise<TopData> {
  const [agents, host, interruptions] = await Promise.all([
    client.list("/agents", { limit: AGENTS_MAX }),
    client.get("/vram"),
    client.list("/interruptions", { limit: INTERRUPTIONS_MAX }),
  ]);
  return {
    agents: agents.items,
    host,
    interruptions: interruptions.items,
    sessions: await sessionsOf(agents.items, client),
  };
}

async function sessionsOf(agents: Json[], client: Client): Promise<Record<string, Json>> {
  const ids = [...new Set(agents.map((agent) => text(agent, "session_id")))].filter(Boolean);
  const found = await Promise.all(
    ids.slice(0, SESSIONS_MAX).map(async (id): Promise<[string, Json]> => {
      const path = `/sessions/${encodeURIComponent(id)}`;
      // An agent may live before anything of its session was reported.
      return [id, await client.get(path, { accept: [HTTP_NOT_FOUND] })];
    }),
  );
  return Object.fromEntries(found.filter(([id, row]) => row["id"] === id));
}
