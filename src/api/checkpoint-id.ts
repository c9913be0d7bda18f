// How a caller may name a checkpoint: its id, a unique prefix of it, or `latest`.

import type { Checkpoint } from "../core/checkpoint.ts";
import { ObserverError } from "../core/errors.ts";
import { ID_PATTERN } from "../core/ids.ts";
import type { ListQuery } from "../store/query.ts";
import type { ApiDeps, Reads } from "./deps.ts";

/** Rows read at a time while looking for the newest usable one; failed ones in between are few. */
const LATEST_PAGE = 100;

/**
 * The checkpoint; throws `invalid`, `not_found`, or `ambiguous` with the candidates. `latest` is the newest
 * one that can be restored, of `workspace` where that is given. The safety copies of restores are not meant by
 * it: else restoring the latest one twice would undo the first time.
 */
export async function resolveCheckpoint(
  rows: ApiDeps["checkpointRows"],
  { name, workspace }: { name: string; workspace?: string | undefined },
): Promise<Checkpoint> {
  if (name === "latest") return latest(rows, workspace);
  if (!ID_PATTERN.test(name)) {
    throw new ObserverError(
      "invalid",
      `Cannot use checkpoint id ${JSON.stringify(name.slice(0, 80))}`,
    );
  }
  const exact = rows.get(name);
  if (exact) return exact;
  const candidates = rows.byPrefix(name);
  const [only] = candidates;
  if (only === undefined) {
    throw new ObserverError("not_found", `There is no checkpoint "${name}"`);
  }
  if (candidates.length === 1) return only;
  throw new ObserverError("ambiguous", `More than one checkpoint begins with "${name}"`, {
    detail: { candidates: candidates.map(({ id }) => id) },
  });
}

async function latest(
  rows: Pick<Reads<Checkpoint>, "list">,
  workspace: string | undefined,
): Promise<Checkpoint> {
  const query: ListQuery = { limit: LATEST_PAGE, filters: workspace ? { workspace } : {} };
  for (;;) {
    const page = await rows.list(query);
    const usable = page.items.find(
      ({ status, kind }) => kind !== "safety" && (status === "ok" || status === "partial"),
    );
    if (usable) return usable;
    if (page.nextCursor === null) break;
    query.cursor = page.nextCursor;
  }
  throw new ObserverError("not_found", "There is no checkpoint that could be restored");
}
