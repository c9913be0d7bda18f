// Checkpoints all together: what retention removes, and whether they can still be read.

import { Type } from "@sinclair/typebox";
import type { VerifyResult } from "../../core/checkpoint.ts";
import { ObserverError } from "../../core/errors.ts";
import type { ApiDeps } from "../deps.ts";
import { json, type Route } from "../route.ts";
import { readCommand } from "../command-body.ts";
import { PATH_LENGTH_MAX } from "./checkpoint-routes.ts";

/** Rows read at a time. */
const PAGE = 1_000;

// Unknown fields are refused: a misspelt "dry_run" must not remove in earnest.
const strict = { additionalProperties: false };
const workspace = Type.Optional(Type.String({ minLength: 1, maxLength: PATH_LENGTH_MAX }));
const PruneBody = Type.Object({ workspace, dry_run: Type.Optional(Type.Boolean()) }, strict);
const VerifyBody = Type.Object({ workspace }, strict);

export function retentionRoutes(deps: ApiDeps): Route[] {
  return [
    {
      endpoint: "POST /checkpoints/prune",
      summary: "Removes what retention no longer keeps, or with dry_run says what that is.",
      body: PruneBody,
      takesLong: true,
      async handle(call) {
        const body = await readCommand(call, { deps, schema: PruneBody });
        const request = {
          dryRun: body.dry_run ?? false,
          ...(body.workspace !== undefined && { workspace: body.workspace }),
        };
        return json(await deps.checkpoints.prune(request));
      },
    },
    {
      endpoint: "POST /checkpoints/verify",
      summary: "Reads every checkpoint back, one after the other.",
      body: VerifyBody,
      takesLong: true,
      async handle(call) {
        const body = await readCommand(call, { deps, schema: VerifyBody });
        const items: VerifyResult[] = [];
        for (const id of await usableIds(deps, body.workspace)) {
          const result = await verified(deps, id);
          if (result) items.push(result);
        }
        return json({ ok: items.every(({ ok }) => ok), items });
      },
    },
  ];
}

async function usableIds(deps: ApiDeps, path: string | undefined): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<ApiDeps["checkpointRows"]["list"]>> =
      await deps.checkpointRows.list({
        limit: PAGE,
        filters: path === undefined ? {} : { workspace: path },
        ...(cursor !== null && { cursor }),
      });
    for (const { id, status } of page.items)
      if (status === "ok" || status === "partial") ids.push(id);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return ids;
}

/** One that cannot be looked at is not well; one that was deleted meanwhile is no concern. */
async function verified({ checkpoints }: ApiDeps, id: string): Promise<VerifyResult | null> {
  try {
    return await checkpoints.verify(id);
  } catch (error) {
    if (!(error instanceof ObserverError)) throw error;
    if (error.code === "conflict") return null;
    return { id, ok: false, files_checked: 0, bytes_checked: 0, problems: [error.message] };
  }
}
