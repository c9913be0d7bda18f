// The host: its GPUs, memory, pressure and disks, and what it lets observer do.

import { Type } from "@sinclair/typebox";
import { readCommand } from "../command-body.ts";
import type { ApiDeps } from "../deps.ts";
import { hostResources } from "../host-resources.ts";
import { knownParameters } from "../list-query.ts";
import { json, type Route } from "../route.ts";

const NoBody = Type.Object({}, { additionalProperties: false });
const ANSWER = Type.Object({
  gpus: Type.Array(Type.Object({})),
  memory: Type.Object({}),
  pressure: Type.Object({}),
  disk: Type.Array(Type.Object({})),
});

export function hostRoutes(deps: ApiDeps): Route[] {
  const show = async (): Promise<Response> => json(await hostResources(deps));
  return [
    {
      endpoint: "GET /vram",
      summary: "GPUs, memory, pressure and disks of this host.",
      answer: ANSWER,
      handle({ request }) {
        knownParameters(request.url, []);
        return show();
      },
    },
    {
      endpoint: "POST /vram",
      summary: "The same for clients that post.",
      body: NoBody,
      answer: ANSWER,
      async handle(call) {
        await readCommand(call, { deps, schema: NoBody });
        return await show();
      },
    },
    {
      endpoint: "GET /capabilities",
      summary: "What this host lets observer do; what is missing has its reason and its mend.",
      async handle({ request }) {
        knownParameters(request.url, []);
        return json({ items: await deps.capabilities(), next_cursor: null, host: deps.host });
      },
    },
  ];
}
