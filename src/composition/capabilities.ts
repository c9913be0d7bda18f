// What this host lets observer do, tried on the host itself; for the daemon and for `observer doctor`.

import type { Capability } from "../core/agent.ts";
import type { Clock } from "../core/clock.ts";
import { newId } from "../core/ids.ts";
import { instanceName } from "../config/instance-name.ts";
import { probeCapabilities } from "../kernel/capabilities.ts";
import { hostProbes } from "../kernel/capability-probes.ts";
import { cgroupsOf, findCgroupMounts } from "../kernel/cgroup.ts";
import { createCgroup, freezeFile } from "../kernel/cgroup-control.ts";
import { parentsForRuns } from "../kernel/cgroup-delegation.ts";
import { removeRunCgroup } from "../kernel/run-cgroup.ts";

/** Trying everything takes tens of milliseconds and starts processes: not for every reader anew. */
const HELD_MS = 30_000;

/** Tries everything now, as this user. Never rejects. */
export function tryCapabilities(dataDir: string): Promise<Capability[]> {
  return probeCapabilities(
    hostProbes({
      create() {
        const mounts = findCgroupMounts();
        const parents = parentsForRuns(mounts, cgroupsOf(process.pid, mounts));
        return createCgroup(parents, `${instanceName(dataDir)}/trial-${newId()}`);
      },
      freezeMethod: (directories) => freezeFile(directories)?.method ?? null,
      remove: removeRunCgroup,
    }),
  );
}

/** The same, tried again only after a while. */
export function createCapabilities(dataDir: string, clock: Clock): () => Promise<Capability[]> {
  let held: { atMs: number; found: Promise<Capability[]> } | null = null;
  return () => {
    const nowMs = clock.monotonic();
    if (held === null || nowMs - held.atMs > HELD_MS) {
      held = { atMs: nowMs, found: tryCapabilities(dataDir) };
    }
    return held.found;
  };
}

/** What was tried, and what runs with it: where both speak of one feature, that which runs has the word on trouble. */
export function withRunning(tried: Capability[], running: Capability[]): Capability[] {
  const trouble = running.filter(({ state }) => state !== "ok");
  const names = new Set(tried.map(({ name }) => name));
  return [
    ...tried.map((one) => trouble.find(({ name }) => name === one.name) ?? one),
    ...running.filter(({ name }) => !names.has(name)),
  ];
}
