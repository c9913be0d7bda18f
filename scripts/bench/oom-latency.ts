// How soon a kill for want of memory is an event: bun scripts/bench/oom-latency.ts [--kills 20]   (root, a memory cgroup)
// Measured from the kernel's signal that the cgroup has no more, which comes before the kill, to the event of each
// source being handed in, and from the time stamp that the kernel gives the victim's end.

import { parseArgs } from "node:util";
import { systemClock } from "../../src/core/clock.ts";
import type { EventDraft } from "../../src/core/event.ts";
import { bootId } from "../../src/kernel/boot.ts";
import { findCgroupMounts } from "../../src/kernel/cgroup.ts";
import { limitMemory } from "../../src/kernel/cgroup-control.ts";
import { oomNotifier } from "../../src/kernel/cgroup-memory.ts";
import { monotonicMs } from "../../src/kernel/monotonic.ts";
import { openProcConnector } from "../../src/kernel/proc-connector.ts";
import { parseProcEvents } from "../../src/kernel/structs/proc-event.ts";
import { EPOLL, startWatcher } from "../../src/kernel/watcher.ts";
import { startOomWatch } from "../../src/sources/memory/oom-watch.ts";
import { createLog } from "../../src/telemetry/log.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { openCgroups } from "../../test/support/cgroups.ts";
import { agentOf, createFakeRegistry } from "../../test/support/live-agents.ts";

const LIMIT_BYTES = 96 * 1024 * 1024;
/** Kills that follow each other closely share a console and a log. */
const PAUSE_MS = 500;
const PATIENCE_MS = 3_000;
const HOG = `exec ${process.execPath} -e 'const kept = []; for (;;) kept.push(Buffer.alloc(4 << 20, 1))'`;

const { values } = parseArgs({ options: { kills: { type: "string", default: "20" } } });
const kit = openCgroups();
if (!kit?.parents.memory) throw new Error("needs root and a memory cgroup");

const watcher = await startWatcher({ onError: (message) => console.log(message) });
const connector = await openProcConnector().catch((thrown: unknown) => {
  console.log(`no kernel stamp of the end: ${String(thrown)}`);
  return null;
});
const ends = new Map<number, number>();
if (connector) {
  watcher.watch(connector.fd, {
    events: EPOLL.IN,
    drain: true,
    onWake({ chunks }) {
      for (const { what, pid, atMs } of chunks.flatMap(parseProcEvents)) {
        if (what === "exit") ends.set(pid, atMs);
      }
    },
  });
}

interface Seen {
  draft: EventDraft;
  atMs: number;
}
const seen: Seen[] = [];
const directories = kit.make("latency");
limitMemory(directories, LIMIT_BYTES);
const watch = startOomWatch({
  registry: createFakeRegistry(agentOf(1, directories)),
  watcher,
  mounts: findCgroupMounts(),
  offer: (drafts) => {
    seen.push(...drafts.map((draft) => ({ draft, atMs: monotonicMs() })));
    return Promise.resolve(drafts.map((_, seq) => ({ status: "accepted", id: "", seq })));
  },
  facts: { get: () => null, set: () => undefined },
  clock: systemClock,
  log: createLog({ level: "error", json: false, now: Date.now, write: console.log }),
  metrics: createMetrics(),
  boot: bootId().slice(0, 8),
  cgroupParent: "observer-bench",
  onSignal: () => undefined,
});
let signalMs: number | null = null;
const notifier = oomNotifier(directories.memory ?? "", directories.memoryVersion ?? 1);
if (notifier.kind === "eventfd") {
  watcher.watch(notifier.fd, {
    events: EPOLL.IN,
    onWake: ({ atMs }) => {
      signalMs ??= atMs;
    },
  });
}

const times: Record<string, number[]> = {};
const note = (name: string, ms: number | undefined): void => {
  if (ms !== undefined && Number.isFinite(ms)) (times[name] ??= []).push(ms);
};
for (let kill = 0; kill < Number(values.kills); kill += 1) {
  seen.length = 0;
  signalMs = null;
  const hog = kit.spawn(directories, HOG);
  await hog.exited;
  const until = performance.now() + PATIENCE_MS;
  const ours = (): Seen[] =>
    seen.filter(({ draft }) => draft.data["cgroup"] === directories.memory);
  while (ours().length < 2 && performance.now() < until) await Bun.sleep(5);
  await Bun.sleep(PAUSE_MS);
  const from = signalMs ?? ends.get(hog.pid) ?? Number.NaN;
  for (const { draft, atMs } of ours()) {
    note(`signal → ${(draft.data["sources"] as string[])[0]}`, atMs - from);
  }
  note("signal → first event", Math.min(...ours().map(({ atMs }) => atMs)) - from);
  note("signal → end of the victim (kernel stamp)", (ends.get(hog.pid) ?? Number.NaN) - from);
}

for (const [name, list] of Object.entries(times)) {
  const sorted = list.sort((one, other) => one - other);
  const at = (share: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0).toFixed(1);
  console.log(
    `${name}: ${sorted.length} of ${values.kills}, median ${at(0.5)} ms, p95 ${at(0.95)}, most ${at(1)}`,
  );
}
watch.stop();
connector?.close();
await watcher.stop();
await kit.close();
