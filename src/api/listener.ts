// The socket that a request came in by, as far as the caller check needs to know it.

import type { PeerLookup } from "./deps.ts";

export type Via = "unix" | "loopback" | "network";

export interface Listener {
  via(request: Request): Via;
  /** Both ends of the connection; null where there is no TCP connection to look up. */
  ends(request: Request): Parameters<PeerLookup>[0] | null;
  /** Takes the idle timeout off this request's connection, for answers that take long or never end. */
  keepOpen(request: Request): void;
  /** TCP port of the API; null where it has none. */
  port(): number | null;
}

/** Nothing is known of the caller, so nothing is granted: a request that no listener delivered. */
const UNKNOWN: Listener = {
  via: () => "network",
  ends: () => null,
  keepOpen: () => {},
  port: () => null,
};

const listeners = new WeakMap<Request, Listener>();

/** Says by which listener a request came. */
export function bindListener(request: Request, listener: Listener): void {
  listeners.set(request, listener);
}

export function listenerOf(request: Request): Listener {
  return listeners.get(request) ?? UNKNOWN;
}
