// What looks at the host and acts on it: the waiting thread, agents, their memory, the brakes.

import { createBrakes, type RunningBrakes } from "../brakes/brakes.ts";
import { instanceName } from "../config/instance-name.ts";
import type { Capability } from "../core/agent.ts";
import type { Offer } from "../core/contracts.ts";
import { messageOf } from "../core/errors.ts";
import type { ObserverEvent } from "../core/event.ts";
import { openProcConnector } from "../kernel/proc-connector.ts";
import { startWatcher, type Watcher } from "../kernel/watcher.ts";
import { createMemorySource, type MemorySource } from "../sources/memory/memory-source.ts";
import { createHost } from "../sources/processes/host.ts";
import { createProcessSource, type ProcessSource } from "../sources/processes/source.ts";
import { createCapabilities, withRunning } from "./capabilities.ts";
import { type ConfirmedWorkspaces, createConfirmedWorkspaces } from "./confirmed-workspaces.ts";
import type { ObserverIo, Parts } from "./parts.ts";

export interface Eyes {
  processes: ProcessSource;
  memory: MemorySource;
  brakes: RunningBrakes;
  workspaces: ConfirmedWorkspaces;
  /** What the host allows, and what observer makes of it now. */
  capabilities(): Promise<Capability[]>;
  /** Every event that was taken in: some say whose process is whose session. */
  note(event: ObserverEvent): void;
  /** Agents that live already are known when it resolves. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface EyesDeps {
  offer: Offer;
  isDebounced(workspace: string): boolean;
}

export async function createEyes(
  parts: Parts,
  io: ObserverIo,
  { offer, isDebounced }: EyesDeps,
): Promise<Eyes> {
  const { settings } = parts;
  const name = instanceName(settings.data_dir);
  const watcher = await waitingThread(parts);
  const brakes = createBrakes(
    {
      dataDirectory: settings.data_dir,
      name,
      guardianCommand: [...io.selfCommand, "__guardian"],
    },
    parts,
  );
  const processes = processSource(parts, io, { offer, name, watcher, brakes });
  const workspaces = createConfirmedWorkspaces(processes, parts);
  const memory = memorySource(parts, {
    offer,
    watcher,
    brakes,
    processes,
    workspaces,
    isDebounced,
  });
  const host = createCapabilities(settings.data_dir, parts.clock);
  return {
    processes,
    memory,
    brakes,
    workspaces,
    capabilities: async () =>
      withRunning(await host(), [...processes.capabilities(), brakes.capability()]),
    note(event) {
      processes.noteEvent(event);
      const { kind, source, pid, data, timeMs } = event;
      const killed = kind === "process_exit" && source === "kernel" && data.signal === "SIGKILL";
      if (killed && pid !== undefined) memory.noteKilled({ pid, atMs: timeMs });
    },
    async start() {
      // Whoever an observer before this one left standing is let go on before anything else.
      await brakes.start();
      await processes.start();
      memory.start();
    },
    async stop() {
      memory.stop();
      await processes.stop();
      await brakes.stop();
      await watcher?.stop();
    },
  };
}

interface Senses extends Pick<EyesDeps, "offer"> {
  watcher: Watcher | null;
  brakes: RunningBrakes;
}

function processSource(
  parts: Parts,
  { selfCommand }: ObserverIo,
  { offer, watcher, brakes, name }: Senses & { name: string },
): ProcessSource {
  const { settings, store } = parts;
  return createProcessSource(
    {
      enabled: settings["agents.enabled"],
      rules: settings["agents.rules"],
      scanMs: settings["agents.scan_ms"],
      hostName: settings.host_name,
      selfCommand,
      cgroupParent: name,
    },
    {
      ...parts,
      offer,
      rows: store.agentRows,
      watcher,
      openProcConnector,
      endedByUs: brakes.endedByUs,
      host: createHost(),
    },
  );
}

function memorySource(
  parts: Parts,
  senses: Senses & Pick<Eyes, "processes" | "workspaces"> & Pick<EyesDeps, "isDebounced">,
): MemorySource {
  const { settings, store } = parts;
  const { offer, watcher, brakes, processes, workspaces, isDebounced } = senses;
  return createMemorySource(
    {
      watchPercent: settings["memory.watch_percent"],
      checkpointPercent: settings["memory.checkpoint_percent"],
      freeze: settings["memory.freeze"],
      freezeCapMs: settings["memory.freeze_cap_ms"],
      cgroupParent: instanceName(settings.data_dir),
    },
    {
      ...parts,
      registry: processes.registry,
      watcher,
      freezer: brakes,
      offer,
      facts: store.facts,
      canSave: (agent) => workspaces.savingOf(agent, isDebounced),
    },
  );
}

/** Null where it cannot be had: then everything is found by looking, later and at some cost. */
async function waitingThread({ log }: Parts): Promise<Watcher | null> {
  try {
    return await startWatcher({
      onError: (message) => log.error("waiting for the kernel", { error: message }),
    });
  } catch (thrown) {
    log.warn("the kernel cannot be waited for; looking instead", { reason: messageOf(thrown) });
    return null;
  }
}
