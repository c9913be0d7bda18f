// The one table of endpoints: who may call each of them.

/** What a token may do; each scope includes the ones before it. */
export const SCOPES = ["ingest", "read", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

/**
 * `public`: carries its own credential. `local`: open on loopback and on the unix socket, scope `ingest` from
 * elsewhere. `read`, `admin`: a peer, a token or the browser's cookie, from anywhere.
 */
export type Access = "public" | "local" | "read" | "admin";

export const ACCESS = {
  "GET /health": "local",
  "GET /stats": "local",
  "GET /livez": "local",
  "POST /event": "local",
  "POST /events": "local",
  "POST /hooks/:vendor": "local",
  // The handler asks the kernel who calls: a run is taken only for a process of its caller.
  "POST /runs": "local",
  "POST /runs/:id/exit": "local",

  "GET /readyz": "read",
  "GET /version": "read",
  "GET /metrics": "read",
  "GET /openapi.json": "read",
  "GET /": "read",
  "GET /client.js": "read",
  "GET /stream": "read",
  "GET /sessions": "read",
  "GET /sessions/:id": "read",
  "GET /sessions/:id/events": "read",
  "GET /events": "read",
  "GET /events/:id": "read",
  "GET /interruptions": "read",
  "GET /interruptions/:id": "read",
  "GET /reactions": "read",
  "GET /reactions/:id": "read",
  "GET /checkpoints": "read",
  "GET /checkpoints/:id": "read",
  "GET /checkpoints/:id/diff": "read",
  "GET /agents": "read",
  "GET /agents/:id": "read",
  "GET /vram": "read",
  "POST /vram": "read",
  "GET /capabilities": "read",

  "POST /interruptions/:id/resolve": "admin",
  "POST /checkpoints": "admin",
  "POST /checkpoints/prune": "admin",
  "POST /checkpoints/verify": "admin",
  "POST /checkpoints/:id/restore": "admin",
  "POST /checkpoints/:id/pin": "admin",
  "POST /checkpoints/:id/verify": "admin",
  "DELETE /checkpoints/:id": "admin",
  "POST /agents/:id/pause": "admin",
  "POST /agents/:id/resume": "admin",
  "POST /agents/:id/kill": "admin",
  "POST /session-codes": "admin",

  "GET /open": "public",
} as const satisfies Record<string, Access>;

export type Endpoint = keyof typeof ACCESS;

/** Parts of the dashboard, whatever their paths. */
export const ASSET_ACCESS: Access = "read";

/** True when `held` includes `needed`. */
export function includesScope(held: Scope, needed: Scope): boolean {
  return SCOPES.indexOf(held) >= SCOPES.indexOf(needed);
}
