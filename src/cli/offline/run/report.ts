// Tells the daemon of a run: at its start, again while it lasts, and at its end; keeps the events where none listens.

import { messageOf } from "../../../core/errors.ts";
import type { RunRequest } from "../../../core/run.ts";
import { ApiError, type Client } from "../../client.ts";
import { endEvents, type OomKills, type RunEnd, type RunFacts, startEvents } from "./events.ts";
import type { SpoolFile } from "./spool-file.ts";

export interface Pace {
  /** A daemon that was not there is asked again this often. */
  retryMs: number;
  /** A daemon that knows the run is told again this often, because it may have been restarted. */
  confirmMs: number;
  /** CMD's exit is passed on at most this much later. */
  farewellMs: number;
}

export const RUN_PACE: Pace = { retryMs: 5_000, confirmMs: 15_000, farewellMs: 1_000 };

export interface ReporterDeps {
  /** A new client of the daemon. Throws where nothing says how to reach it. */
  connect(): Client;
  spool: SpoolFile;
  say(text: string): void;
  pace: Pace;
}

export interface Reporter {
  /** Begins to tell, without keeping the caller waiting. */
  start(): void;
  /** Tells the end; resolves when the daemon has it, when it is spooled, or after the pace's limit. */
  finish(exit: RunEnd, oom: OomKills | null): Promise<void>;
}

export function createReporter(facts: RunFacts, deps: ReporterDeps): Reporter {
  const { connect, pace } = deps;
  const { request } = facts;
  const keeper = createKeeper(facts, deps);
  let known = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let attempt: Promise<void> = Promise.resolve();

  async function introduce(): Promise<void> {
    try {
      await connect().post("/runs", { body: bodyOf(request) });
      known = true;
      keeper.handedOver();
    } catch (thrown) {
      known = false;
      // CMD that is over already cannot be looked at; its events are sent at the end.
      if (!isGone(thrown)) keeper.keep([], messageOf(thrown));
    }
  }

  function again(): void {
    timer = setTimeout(begin, known ? pace.confirmMs : pace.retryMs);
    timer.unref();
  }

  function begin(): void {
    attempt = introduce().finally(again);
  }

  async function farewell(exit: RunEnd, ends: Record<string, unknown>[]): Promise<void> {
    await attempt;
    clearTimeout(timer);
    if (await tellExit(connect(), request, exit)) return;
    await connect().post("/events", { body: [...startEvents(facts), ...ends] });
    keeper.handedOver();
  }

  return {
    start: begin,
    async finish(exit, oom) {
      const ends = endEvents(facts, exit, oom);
      const late = Promise.withResolvers<string>();
      const limit = setTimeout(() => late.resolve("observer does not answer"), pace.farewellMs);
      const done = farewell(exit, ends).then(() => null, messageOf);
      const trouble = await Promise.race([done, late.promise]);
      clearTimeout(limit);
      clearTimeout(timer);
      if (trouble !== null) keeper.keep(ends, trouble);
    },
  };
}

/** Writes what no daemon took, beginning with the start, and says so once. */
function createKeeper(facts: RunFacts, { spool, say }: Pick<ReporterDeps, "spool" | "say">) {
  let state: "nothing" | "begun" | "failed" = "nothing";
  return {
    keep(events: Record<string, unknown>[], why: string): void {
      if (state === "failed") return;
      try {
        spool.add(state === "begun" ? events : [...startEvents(facts), ...events]);
        if (state === "nothing") {
          say(`${why}; what happens is kept in ${spool.path} for the next start of observer`);
        }
        state = "begun";
      } catch (thrown) {
        state = "failed";
        say(`${why}, and nothing can be kept of this run: ${messageOf(thrown)}`);
      }
    },
    /** A daemon tells of all that was kept so far by itself. */
    handedOver(): void {
      if (state === "begun") spool.remove();
      state = "nothing";
    },
  };
}

/** False when the daemon does not take it: what it would tell of the run is then sent as events. */
async function tellExit(client: Client, request: RunRequest, exit: RunEnd): Promise<boolean> {
  const { exitCode, signal, durationMs } = exit;
  try {
    await client.post(`/runs/${request.id}/exit`, {
      body: { ...claimOf(request), exit_code: exitCode, signal, duration_ms: durationMs },
    });
    return true;
  } catch (thrown) {
    if (thrown instanceof ApiError) return false;
    throw thrown;
  }
}

/** Statuses for a process that is not there any more. */
const GONE = [404, 410];

function isGone(thrown: unknown): boolean {
  return thrown instanceof ApiError && GONE.includes(thrown.status);
}

function claimOf({ pid, startTicks, name, command, workspace }: RunRequest) {
  return { pid, start_ticks: startTicks, name, command, workspace };
}

/** The body of `POST /runs`. */
function bodyOf(request: RunRequest): Record<string, unknown> {
  const { cgroups } = request;
  return {
    ...claimOf(request),
    id: request.id,
    started_ms: request.startedMs,
    cwd: request.cwd,
    containment: request.containment,
    cgroups: cgroups && {
      unified: cgroups.unified,
      memory: cgroups.memory,
      memory_version: cgroups.memoryVersion,
      freezer: cgroups.freezer,
    },
    memory_limit_bytes: request.memoryLimitBytes,
  };
}
