// The backends, in the order in which they are asked. Add a new one here.

import type { BackendName } from "../core/checkpoint.ts";
import type { Backend, BackendFacts } from "./backend.ts";
import { createBtrfsBackend } from "./btrfs-backend.ts";
import { createStoreBackend } from "./store/backend.ts";

export function createBackends(facts: BackendFacts): Backend[] {
  return [createBtrfsBackend(), createStoreBackend(facts)];
}

export function backendNamed(backends: Backend[], name: BackendName): Backend {
  const found = backends.find((backend) => backend.name === name);
  if (!found) throw new Error(`No backend is called ${name}`);
  return found;
}
