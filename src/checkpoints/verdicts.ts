// Reads checkpoints back, and keeps in their rows what came of it; now and then one by itself.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Checkpoint, VerifyResult } from "../core/checkpoint.ts";
import { messageOf } from "../core/errors.ts";
import { whileInUse } from "./in-use.ts";
import { isUsable } from "./retention.ts";
import { usableRow, type ServiceParts } from "./service-parts.ts";
import { PRIVATE_FILE } from "./store/layout.ts";

/** How the warning of a damaged checkpoint begins; there is one at most. */
const DAMAGED = "damaged: ";
/** Problems that a note carries; `verify` tells all. */
const NAMED_MAX = 20;
const MS_PER_S = 1_000;

export interface Verdicts {
  verify(id: string): Promise<VerifyResult>;
  /** Reads the checkpoint back whose last scrub is longest ago, slowly, when one is due. */
  scrub(): Promise<void>;
}

export function createVerdicts(parts: ServiceParts): Verdicts {
  const { options, runner, background, inUse } = parts;
  return {
    verify: async (id) =>
      await whileInUse(inUse, [id], async () => {
        const result = await runner.run({
          op: "verify",
          request: { checkpoint: usableRow(parts, id), background: false },
          deadlineMs: options.storeDeadlineMs,
        });
        note(parts, result);
        return result;
      }),
    async scrub() {
      const checkpoint = nextToScrub(parts);
      if (!checkpoint) return;
      const { id, bytes } = checkpoint;
      const bytesPerSecond = options.scrub.bytesPerSecond;
      try {
        const result = await whileInUse(
          inUse,
          [id],
          async () =>
            await background.run({
              op: "verify",
              request: { checkpoint, background: true, bytesPerSecond },
              deadlineMs: options.storeDeadlineMs + ((bytes ?? 0) / bytesPerSecond) * MS_PER_S,
            }),
        );
        scrubbed(parts, id, result.ok ? "ok" : "damaged");
        note(parts, result);
      } catch (error) {
        // It had to give way, or ran late: another one is tried the next time.
        scrubbed(parts, id, "failed");
        parts.deps.log.warn("checkpoint not scrubbed", { id, error: messageOf(error) });
      }
    },
  };
}

/** When each checkpoint was last read back by itself, in ms since the epoch; kept across restarts. */
type Scrubs = Record<string, number>;

function scrubsPath({ options }: ServiceParts): string {
  return join(options.directory, "scrubs.json");
}

function readScrubs(parts: ServiceParts): Scrubs {
  try {
    return JSON.parse(readFileSync(scrubsPath(parts), "utf8")) as Scrubs;
  } catch {
    // None yet, or half written: then they are read back again, which does no harm.
    return {};
  }
}

function nextToScrub(parts: ServiceParts): Checkpoint | undefined {
  const { deps, options, deleting } = parts;
  if (options.scrub.everyMs === 0) return undefined;
  const scrubs = readScrubs(parts);
  const last = Math.max(0, ...Object.values(scrubs));
  const sinceMs = deps.clock.now() - last;
  // A time in the future is one from before the clock was set back.
  if (sinceMs >= 0 && sinceMs < options.scrub.everyMs) return undefined;
  const rows = deps.rows
    .list({ status: ["ok", "partial"], limit: Number.MAX_SAFE_INTEGER })
    .filter(({ id }) => !deleting.has(id));
  return rows
    .toReversed()
    .reduce<Checkpoint | undefined>(
      (best, row) => (best && (scrubs[best.id] ?? 0) <= (scrubs[row.id] ?? 0) ? best : row),
      undefined,
    );
}

function scrubbed(parts: ServiceParts, id: string, result: "ok" | "damaged" | "failed"): void {
  const { deps } = parts;
  deps.metrics.add("observer_checkpoint_scrubs_total", 1, { result });
  const known = new Set(
    deps.rows
      .list({ status: ["ok", "partial"], limit: Number.MAX_SAFE_INTEGER })
      .map((row) => row.id),
  );
  const scrubs = Object.entries(readScrubs(parts)).filter(([other]) => known.has(other));
  try {
    writeFileSync(
      scrubsPath(parts),
      JSON.stringify({ ...Object.fromEntries(scrubs), [id]: deps.clock.now() }),
      { mode: PRIVATE_FILE },
    );
  } catch (error) {
    deps.log.warn("scrub not noted", { id, error: messageOf(error) });
  }
}

/** Damage takes `verified` away; content that came back gives it back. */
function note(parts: ServiceParts, result: VerifyResult): void {
  const { deps } = parts;
  const row = deps.rows.get(result.id);
  if (!row || !isUsable(row)) return;
  if (result.ok) {
    if (!row.verified) deps.log.info("damaged checkpoint is whole again", { id: row.id });
    else return;
    const warnings = row.warnings.filter((warning) => !warning.startsWith(DAMAGED));
    deps.rows.update({ ...row, verified: true, warnings });
    return;
  }
  const { id, workspace, verified, warnings } = row;
  const problems = result.problems.slice(0, NAMED_MAX);
  const warning = `${DAMAGED}${result.problems.length} problems, first: ${problems[0] ?? ""}`;
  const others = warnings.filter((old) => !old.startsWith(DAMAGED));
  deps.rows.update({ ...row, verified: false, warnings: [...others, warning] });
  if (!verified) return;
  deps.log.error("checkpoint is damaged", { id, workspace, problems: result.problems.length });
  deps.tell?.({ note: "checkpoint_damaged", workspace, checkpoint_id: id, problems });
}
