// Hooks of agents: taken at once, kept behind the caller's back, so that observer never holds up an agent.

import { messageOf } from "../../core/errors.ts";
import type { EventDraft } from "../../core/event.ts";
import { readText } from "../body.ts";
import type { ApiDeps } from "../deps.ts";
import { asObject, parseJson } from "../json.ts";
import { HttpError } from "../problem.ts";
import { type Call, json, type Route } from "../route.ts";

/** Deeper is no hook but an attack on whoever walks it. */
const HOOK_DEPTH_MAX = 1_000;
const LATER = new Set(["codex", "gemini", "opencode", "agent-strace"]);

export function hookRoutes(deps: ApiDeps): Route[] {
  return [
    {
      endpoint: "POST /hooks/:vendor",
      summary: "Takes a vendor's hook body; answers {} without waiting for storage.",
      handle: (call) => takeHook(call, deps),
    },
  ];
}

// No refusal under pressure here: a hook that gets an error may stop its agent. What the inbox does not take
// is counted there.
async function takeHook({ request, params }: Call, deps: ApiDeps): Promise<Response> {
  const vendor = params["vendor"] ?? "";
  const parse = Object.hasOwn(deps.hooks, vendor) ? deps.hooks[vendor] : undefined;
  if (!parse) {
    const why = LATER.has(vendor) ? "not in this version" : "unknown vendor";
    throw new HttpError(
      { status: 404, code: "not_found" },
      `There is no hook "${vendor.slice(0, 100)}": ${why}`,
      { detail: { known: Object.keys(deps.hooks) } },
    );
  }
  // A tool's result may be a whole file, and an agent must not be told that its hook failed: the wider limits
  // hold, and the parser cuts off what is nested deeper than observer keeps.
  const text = await readText(request, deps.settings["limits.batch_bytes"]);
  const body = asObject(parseJson(text, HOOK_DEPTH_MAX));
  deps.metrics.add("observer_hooks_total", 1, { vendor });
  let drafts: EventDraft[] = [];
  try {
    drafts = parse(body);
  } catch (thrown) {
    deps.log.error("hook parser failed", { vendor, error: messageOf(thrown) });
  }
  if (drafts.length > 0) keep(drafts, deps);
  return json({});
}

function keep(drafts: EventDraft[], deps: ApiDeps): void {
  deps.offer(drafts).catch((thrown: unknown) => {
    deps.log.error("hook events lost", { error: messageOf(thrown) });
  });
}
