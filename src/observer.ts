// The composition root: configuration in, running observer out. The only file that knows every folder.

import { realpathSync, statfsSync } from "node:fs";
import { join } from "node:path";
import type { ApiDeps } from "./api/deps.ts";
import { type Listening, listen } from "./api/listen.ts";
import { isLoopbackAddress } from "./api/loopback.ts";
import { createApi } from "./api/server.ts";
import { createProtection } from "./checkpoints/protection.ts";
import { createCheckpointService } from "./checkpoints/service.ts";
import { clientSource } from "./client/source-macro.ts" with { type: "macro" };
import type { LoadedConfig } from "./config/load.ts";
import type { Settings } from "./config/settings.ts";
import { readTokens } from "./config/token.ts";
import { BUILD_INFO } from "./core/build-info.ts";
import type { Checkpoint, CheckpointRows } from "./core/checkpoint.ts";
import { type Clock, systemClock } from "./core/clock.ts";
import { ObserverError } from "./core/errors.ts";
import type { Severity } from "./core/interruption.ts";
import { createRedactor } from "./core/redact.ts";
import { dashboardAssets } from "./dashboard/assets.ts";
import {
  createDetectors,
  DEFAULT_DETECTOR_OPTIONS,
  type DetectorOptions,
} from "./detectors/catalog.ts";
import { lookupPeerUid } from "./kernel/peer-uid.ts";
import { createLiveFeed, liveEvent } from "./pipeline/live-feed.ts";
import { createPipeline, type Pipeline } from "./pipeline/pipeline.ts";
import { type LoopOptions, supervise } from "./pipeline/supervise.ts";
import { type ConfiguredWorkspace, resolveWorkspace } from "./pipeline/workspaces.ts";
import { createReactions } from "./reactions/catalog.ts";
import { HOOK_PARSERS } from "./sources/catalog.ts";
import { parseNative } from "./sources/native.ts";
import { parseOperation } from "./sources/operations.ts";
import { lockDirectory } from "./store/database.ts";
import type { StoredEvent } from "./store/event-rows.ts";
import { createStore, type Store } from "./store/store.ts";
import { createLog, type Log, type LogLevel } from "./telemetry/log.ts";
import { createMetrics, type Metrics } from "./telemetry/metrics.ts";

const CLIENT_SOURCE = clientSource();
/** Indices and sums are written this often; reads do it too, so nobody sees the delay. */
const SETTLE_MS = 1_000;
const DISK_CHECK_MS = 2_000;
/** Checkpoints whose outcome was unknown are looked for this often. */
const RECOVER_MS = 60_000;
const STATS_MS = 5_000;
/** Seconds a refused sender should wait: the inbox empties in far less, a disk rarely does. */
const RETRY_AFTER_S = { overloaded: 1, no_space: 30 };

export interface ObserverIo {
  /** One chunk to standard error. */
  stderr: (text: string) => void;
  stderrIsTty: boolean;
  /** How to start this program again for a helper; the hidden verb is appended. */
  selfCommand: string[];
  uid: number;
}

export interface RunningObserver {
  /** Where a browser finds the page. */
  url: string;
  settings: Settings;
  /** Takes nothing more, finishes what was begun within `graceMs`, closes the store. */
  stop(graceMs: number): Promise<void>;
}

/** Everything that is shared by the parts while it runs. */
interface Parts {
  settings: Settings;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  store: Store;
  live: ReturnType<typeof createLiveFeed>;
  checkpoints: ReturnType<typeof createCheckpointService>;
}

/** @throws ObserverError when the data directory is taken, the port is, or a bind would be unsafe. */
export async function startObserver(
  { settings, warnings }: LoadedConfig,
  io: ObserverIo,
): Promise<RunningObserver> {
  const clock = systemClock;
  const log = createLog({
    level: settings["log.level"] as LogLevel,
    json: !io.stderrIsTty,
    now: () => clock.now(),
    write: io.stderr,
  });
  for (const warning of warnings) log.warn(warning);
  refuseOpenBind(settings, log);
  const unlock = lockDirectory(settings.data_dir);
  try {
    const parts = createParts({ settings, clock, log }, io);
    return await run(parts, { io, unlock });
  } catch (thrown) {
    unlock();
    throw thrown;
  }
}

/** The token that is made by itself does not count: nobody who calls from elsewhere was given it on purpose. */
function refuseOpenBind({ host, token_file: tokenFile, insecure }: Settings, log: Log): void {
  if (host === "" || host === "localhost" || isLoopbackAddress(host)) return;
  if (insecure) log.warn("listening beyond loopback, open to everyone who can reach it", { host });
  else if (tokenFile === "") {
    throw new ObserverError(
      "invalid",
      `Cannot listen on ${host}: an address beyond loopback needs --token-file, or --insecure to go without`,
    );
  }
}

function createParts(base: { settings: Settings; clock: Clock; log: Log }, io: ObserverIo): Parts {
  const { settings, clock, log } = base;
  const metrics = createMetrics();
  const store = createStore({
    directory: settings.data_dir,
    durability: settings.durability as "full" | "normal",
    host: settings.host_name,
  });
  const live = createLiveFeed(clock.now() * 1_000);
  const checkpoints = createCheckpointService(
    {
      directory: join(settings.data_dir, "checkpoints"),
      host: settings.host_name,
      deadlineMs: settings["checkpoints.deadline_ms"],
      storeDeadlineMs: settings["checkpoints.store_deadline_ms"],
      exclude: settings["checkpoints.exclude"],
      fileBytesMax: settings["checkpoints.file_bytes"],
      filesMax: settings["checkpoints.files"],
      totalBytesMax: settings["checkpoints.total_bytes"],
      allowAnyPath: settings.workspaces_forced,
      helperCommand: [...io.selfCommand, "__checkpoint"],
    },
    { rows: announced(store.checkpointRows, live), clock, log, metrics },
  );
  return { ...base, metrics, store, live, checkpoints };
}

/** Checkpoint rows that are also told to the live stream. */
function announced(rows: CheckpointRows, live: Parts["live"]): CheckpointRows {
  const tell = (write: (row: Checkpoint) => void) => (row: Checkpoint) => {
    write(row);
    live.publish("checkpoint", { ...row });
  };
  return { ...rows, insert: tell(rows.insert), update: tell(rows.update) };
}

async function run(
  parts: Parts,
  { io, unlock }: { io: ObserverIo; unlock: () => void },
): Promise<RunningObserver> {
  const { settings, log, checkpoints } = parts;
  const pipeline = startPipeline(parts, io);
  const disk = watchDisk(settings);
  const protection = createProtection(
    { workspaces: settings.workspaces, armed: settings["reactive.enabled"] },
    { service: checkpoints, rows: parts.store.checkpointRows, log },
  );
  let unready: string | null = "starting";
  const deps: ApiDeps = {
    ...apiDeps(parts, pipeline),
    ownUid: io.uid,
    pressure: () => pressureOf(pipeline.full(), disk.full()),
    startedMs: parts.clock.monotonic(),
    protection: protection.current,
    unready: () => unready ?? parts.store.broken(),
  };
  const listening = await listen(createApi(deps), deps, {
    port: settings.port,
    hosts: settings.host === "" ? ["127.0.0.1", "::1"] : [settings.host],
    unixSocketPath: join(settings.data_dir, "observer.sock"),
  });
  const stopLoops = startLoops(parts, [
    { name: "disk", everyMs: DISK_CHECK_MS, round: disk.check },
    { name: "protection", everyMs: RECOVER_MS, round: protection.check },
  ]);
  await checkpoints.recover();
  await protection.check();
  unready = null;
  log.info("observer is ready", { url: pageUrl(listening), data: settings.data_dir });
  void protection.takeBaselines();
  return {
    url: pageUrl(listening),
    settings,
    stop: (graceMs) => stop({ parts, pipeline, listening, stopLoops, unlock }, graceMs),
  };
}

function startPipeline(
  { settings, clock, log, metrics, store, live, checkpoints }: Parts,
  io: ObserverIo,
): Pipeline {
  const configured = settings.workspaces.map(toConfigured);
  return createPipeline(
    {
      host: settings.host_name,
      limits: {
        eventsMax: settings["limits.inbox_events"],
        bytesMax: settings["limits.inbox_bytes"],
      },
      policy: {
        alertSeverity: settings["alert.severity"] as Severity,
        checkpointEnabled: settings["reactive.enabled"],
        debounceMs: settings["reactive.debounce_ms"],
        dryRun: settings["reactive.dry_run"],
      },
      quietMs: settings["interruptions.quiet_ms"],
      workspaceOf: (cwd) => resolveWorkspace(cwd, configured),
    },
    {
      store,
      clock,
      log,
      metrics,
      redact: createRedactor(),
      createDetectors: () => createDetectors(detectorOptions(settings)),
      reactions: createReactions({
        checkpoints,
        checkpointDeadlineMs: 2 * settings["checkpoints.store_deadline_ms"],
        terminal: settings["alert.terminal"] ? io.stderr : null,
        alertFile: settings["alert.file"] ? join(settings.data_dir, "alerts.log") : null,
      }),
      publish: (type, data) =>
        live.publish(type, type === "event" ? liveEvent(data as StoredEvent) : data),
    },
  );
}

/** The thresholds that settings carry, in the detectors' own names. */
export function detectorOptions(settings: Settings): DetectorOptions {
  return {
    ...DEFAULT_DETECTOR_OPTIONS,
    retryLimit: settings["detectors.retry_limit"],
    loopRepeatsMin: settings["detectors.loop_repetitions"],
    loopPeriodMin: settings["detectors.loop_length_min"],
    stormErrorsMin: settings["detectors.storm_errors"],
    stormWindowMs: settings["detectors.storm_window_ms"],
  };
}

function toConfigured(path: string): ConfiguredWorkspace {
  try {
    return { path, realPath: realpathSync(path) };
  } catch {
    // Not there yet: an agent may create it later under this name.
    return { path, realPath: path };
  }
}

function apiDeps(
  parts: Parts,
  pipeline: Pipeline,
): Omit<ApiDeps, "ownUid" | "pressure" | "startedMs" | "protection" | "unready"> {
  const { settings, store } = parts;
  return {
    ...parts,
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

/** The address to open; none when only the unix socket is there. */
function pageUrl({ urls }: Listening): string {
  return urls[0] ?? "";
}

function pressureOf(inboxFull: boolean, diskFull: boolean): ReturnType<ApiDeps["pressure"]> {
  const code = diskFull ? "no_space" : inboxFull ? "overloaded" : null;
  return code && { code, retryAfterS: RETRY_AFTER_S[code] };
}

/** Refuses ingest before the disk is full, and takes it again by itself when there is room. */
function watchDisk(settings: Settings): { full: () => boolean; check: () => void } {
  let full = false;
  const check = (): void => {
    const { bavail, bsize } = statfsSync(settings.data_dir);
    full = bavail * bsize < settings["limits.disk_free_bytes"];
  };
  check();
  return { full: () => full, check };
}

function startLoops(
  { store, live, checkpoints, log, metrics }: Parts,
  others: LoopOptions[],
): () => Promise<void> {
  const loops: LoopOptions[] = [
    ...others,
    {
      name: "settle",
      everyMs: SETTLE_MS,
      round: () => {
        store.settle();
        return store.persist();
      },
    },
    { name: "recover", everyMs: RECOVER_MS, round: () => checkpoints.recover() },
    {
      name: "stats",
      everyMs: STATS_MS,
      round: () => {
        metrics.set("observer_database_bytes", store.databaseBytes());
        live.publish("stats", store.ring.stats());
      },
    },
  ];
  const ends = loops.map((loop) => supervise(loop, { log, metrics }));
  return async () => void (await Promise.all(ends.map((end) => end())));
}

interface Stoppable {
  parts: Parts;
  pipeline: Pipeline;
  listening: Listening;
  stopLoops: () => Promise<void>;
  unlock: () => void;
}

async function stop(
  { parts, pipeline, listening, stopLoops, unlock }: Stoppable,
  graceMs: number,
): Promise<void> {
  await listening.stop(graceMs / 2);
  await pipeline.stop(graceMs / 2);
  await stopLoops();
  await parts.checkpoints.stop();
  parts.store.close();
  unlock();
  parts.log.info("observer has stopped");
}
