// Where the content store keeps what, and with which permissions.

import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";

/** Workspaces hold secrets; only observer's own user may look. */
export const PRIVATE_DIRECTORY = 0o700;
export const PRIVATE_FILE = 0o600;

/** The content store in the data directory's `checkpoints/`. */
export function storeIn(directory: string): string {
  return join(directory, "store");
}

export function packsIn(store: string): string {
  return join(store, "packs");
}

export function packPath(store: string, pack: number): string {
  return join(packsIn(store), `${String(pack).padStart(6, "0")}.pack`);
}

export function indexPath(store: string): string {
  return join(store, "index.db");
}

export function lockPath(store: string): string {
  return join(store, "lock.db");
}

/** Makes `path` a directory that only we may enter. */
export function ensurePrivate(path: string): void {
  mkdirSync(path, { recursive: true, mode: PRIVATE_DIRECTORY });
  chmodSync(path, PRIVATE_DIRECTORY);
}

export function ensureStore(store: string): void {
  ensurePrivate(store);
  ensurePrivate(packsIn(store));
}
