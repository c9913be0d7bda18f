// The seed's endpoints: operations come in one by one, and the ring of the last ones is shown.

import { Type } from "@sinclair/typebox";
import type { ApiDeps } from "../deps.ts";
import { readText } from "../body.ts";
import { asObject, parseJson } from "../json.ts";
import { refuseUnderPressure, rejectionError } from "../pressure.ts";
import { type Call, json, type Route } from "../route.ts";

const Operation = Type.Object(
  {
    timestamp: Type.Optional(Type.String()),
    endpoint: Type.Optional(Type.String()),
    input_summary: Type.Optional(Type.String()),
    success: Type.Optional(Type.Unknown()),
    duration_ms: Type.Optional(Type.Number()),
    output_summary: Type.Optional(Type.String()),
    error: Type.Optional(Type.String()),
    source: Type.Optional(Type.String()),
    staffer_id: Type.Optional(Type.String()),
    event_kind: Type.Optional(Type.String()),
    role: Type.Optional(Type.String()),
  },
  { additionalProperties: true },
);

export function operationRoutes(deps: ApiDeps): Route[] {
  return [
    {
      endpoint: "GET /health",
      summary: "Whether observer answers, and how many operations its ring holds.",
      answer: Type.Object({ status: Type.Literal("ok"), ops_in_ring: Type.Integer() }),
      handle: () => json({ status: "ok", ops_in_ring: deps.ring.size() }),
    },
    {
      endpoint: "GET /stats",
      summary: "Counts of the last 2,000 operations and of all time.",
      handle: () => json(deps.ring.stats()),
    },
    {
      endpoint: "POST /event",
      summary: "Takes one operation; answered after it is committed.",
      body: Operation,
      answer: Type.Object({ accepted: Type.Literal(true), ring_size: Type.Integer() }),
      handle: (call) => takeOperation(call, deps),
    },
  ];
}

// Read as JSON whatever its declared type, as the seed did; the guard asks more of browsers.
async function takeOperation({ request }: Call, deps: ApiDeps): Promise<Response> {
  refuseUnderPressure(deps);
  const text = await readText(request, deps.settings["limits.body_bytes"]);
  const body = asObject(parseJson(text, deps.settings["limits.depth"]));
  const [receipt] = await deps.offer([deps.parseOperation(body, () => deps.clock.now())]);
  if (!receipt) throw new Error("offer answered without a receipt");
  if (receipt.status === "rejected") throw rejectionError(receipt);
  return json({ accepted: true, ring_size: deps.ring.size() });
}
