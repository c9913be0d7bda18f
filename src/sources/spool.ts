// The spool: native events that runs left in the data directory while no daemon listened, taken in at the next start.

import { lstatSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Offer } from "../core/contracts.ts";
import { messageOf } from "../core/errors.ts";
import type { EventDraft } from "../core/event.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { parseNative } from "./native.ts";

/** Name of the directory in the data directory. */
export const SPOOL_DIRECTORY = "spool";

/** A run leaves four lines of a few hundred bytes; whatever is larger is no spool file. */
const FILE_BYTES_MAX = 1024 * 1024;
const WAITING = /\.ndjson(\.taken)?$/;
/** Renamed while it is read, so that a run that still lives begins a new file. */
const TAKEN = ".taken";
/** What could not be read stays for a person to look at. */
const ASIDE = ".bad";

export interface SpoolDeps {
  offer: Offer;
  log: Log;
  metrics: Metrics;
  now(): number;
}

export interface Spool {
  /** Takes everything in, file by file. Never rejects; what was refused stays for the next start. */
  drain(): Promise<void>;
}

type Outcome = "accepted" | "duplicate" | "rejected" | "corrupt";

/** `directory` is `<data directory>/spool`; it need not exist. */
export function createSpool(directory: string, deps: SpoolDeps): Spool {
  const { log, metrics } = deps;

  async function takeFile(name: string): Promise<Record<Outcome, number>> {
    const found = join(directory, name);
    const taken = name.endsWith(TAKEN) ? found : `${found}${TAKEN}`;
    const stat = lstatSync(found);
    if (!stat.isFile() || stat.size > FILE_BYTES_MAX) {
      if (stat.isFile()) renameSync(found, `${found}${ASIDE}`);
      throw new Error(stat.isFile() ? "it is too large" : "it is no regular file");
    }
    if (taken !== found) renameSync(found, taken);
    const counts = { accepted: 0, duplicate: 0, rejected: 0, corrupt: 0 };
    // A run that opened it before the renaming may still have written to it.
    for (let read = -1; statSync(taken).size > read;) {
      const text = readFileSync(taken, "utf8");
      read = Buffer.byteLength(text);
      const { drafts, corrupt } = parse(text, deps.now);
      counts.corrupt = corrupt;
      for (const { status } of await deps.offer(drafts)) counts[status] += 1;
    }
    if (counts.rejected > 0) return counts;
    if (counts.corrupt > 0) renameSync(taken, `${taken.slice(0, -TAKEN.length)}${ASIDE}`);
    else rmSync(taken);
    return counts;
  }

  return {
    async drain() {
      for (const name of waiting(directory)) {
        try {
          const counts = await takeFile(name);
          for (const [outcome, count] of Object.entries(counts)) {
            if (count > 0) metrics.add("observer_spool_events_total", count, { outcome });
          }
          const level = counts.rejected + counts.corrupt > 0 ? "warn" : "info";
          log[level]("spooled events taken in", { file: name, ...counts });
        } catch (thrown) {
          metrics.add("observer_spool_events_total", 1, { outcome: "unreadable" });
          log.warn("spool file cannot be taken in", { file: name, error: messageOf(thrown) });
        }
      }
    },
  };
}

function waiting(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => WAITING.test(name))
      .sort();
  } catch {
    return []; // No run was ever without a daemon.
  }
}

function parse(text: string, now: () => number): { drafts: EventDraft[]; corrupt: number } {
  const drafts: EventDraft[] = [];
  let corrupt = 0;
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    try {
      // The daemon may know the same fact with other details: by its key alone it is the same.
      const { digest: _, ...draft } = parseNative(JSON.parse(line), now);
      drafts.push(draft);
    } catch {
      corrupt += 1;
    }
  }
  return { drafts, corrupt };
}
