// What the HTTP surface is given.

import type { ApiDeps } from "../api/deps.ts";
import { clientSource } from "../client/source-macro.ts" with { type: "macro" };
import { readTokens } from "../config/token.ts";
import { BUILD_INFO } from "../core/build-info.ts";
import { dashboardAssets } from "../dashboard/assets.ts";
import { lookupPeerUid } from "../kernel/peer-uid.ts";
import type { Pipeline } from "../pipeline/pipeline.ts";
import { HOOK_PARSERS } from "../sources/catalog.ts";
import { parseNative } from "../sources/native.ts";
import { parseOperation } from "../sources/operations.ts";
import type { Eyes } from "./eyes.ts";
import { liveAgents } from "./live-agents.ts";
import type { ObserverIo, Parts } from "./parts.ts";

const CLIENT_SOURCE = clientSource();

export function apiDeps(
  parts: Parts,
  { pipeline, eyes, io }: { pipeline: Pipeline; eyes: Eyes; io: ObserverIo },
): Omit<ApiDeps, "ownUid" | "pressure" | "startedMs" | "protection" | "unready"> {
  const { settings, store } = parts;
  return {
    ...parts,
    ...liveAgents(eyes, { selfCommand: io.selfCommand, log: parts.log }),
    build: BUILD_INFO,
    host: settings.host_name,
    tokens: readTokens(settings),
    offer: pipeline.offer,
    parseOperation,
    parseNative,
    hooks: HOOK_PARSERS,
    ring: store.ring,
    events: store.events,
    sessions: store.sessions,
    interruptions: { ...store.interruptions, resolve: pipeline.resolve },
    reactions: store.reactions,
    checkpointRows: { ...store.checkpoints, byPrefix: store.checkpointRows.byPrefix },
    peerUid: lookupPeerUid,
    assets: assets(),
  };
}

/** Everything that is served as a file. */
function assets(): ApiDeps["assets"] {
  const body = new TextEncoder().encode(CLIENT_SOURCE);
  return new Map<string, { body: Uint8Array; type: string; gzip?: Uint8Array }>([
    ...dashboardAssets(),
    ["/client.js", { body, type: "application/javascript; charset=utf-8" }],
  ]);
}
