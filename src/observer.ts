// The composition root: configuration in, running observer out. With its parts in composition/, the only one that knows every folder.

import { join } from "node:path";
import type { ApiDeps } from "./api/deps.ts";
import { type Listening, listen } from "./api/listen.ts";
import { isLoopbackAddress } from "./api/loopback.ts";
import { createApi } from "./api/server.ts";
import { apiDeps } from "./composition/api.ts";
import { createEyes, type Eyes } from "./composition/eyes.ts";
import { RECOVER_MS, startLoops, watchDisk } from "./composition/loops.ts";
import { createParts, type ObserverIo, type Parts } from "./composition/parts.ts";
import { startPipeline } from "./composition/pipeline.ts";
import { sweepRuns } from "./composition/sweep-runs.ts";
import { startProtection } from "./composition/protection.ts";
import type { LoadedConfig } from "./config/load.ts";
import type { Settings } from "./config/settings.ts";
import { systemClock } from "./core/clock.ts";
import { ObserverError } from "./core/errors.ts";
import type { Pipeline } from "./pipeline/pipeline.ts";
import { createSpool, SPOOL_DIRECTORY } from "./sources/spool.ts";
import { lockDirectory } from "./store/database.ts";
import { createLog, type Log, type LogLevel } from "./telemetry/log.ts";

const DISK_CHECK_MS = 2_000;
/** Seconds a refused sender should wait: the inbox empties in far less, a disk rarely does. */
const RETRY_AFTER_S = { overloaded: 1, no_space: 30 };

export interface RunningObserver {
  /** Where a browser finds the page. */
  url: string;
  settings: Settings;
  /** Takes nothing more, finishes what was begun within `graceMs`, closes the store. */
  stop(graceMs: number): Promise<void>;
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

async function run(
  parts: Parts,
  { io, unlock }: { io: ObserverIo; unlock: () => void },
): Promise<RunningObserver> {
  const { settings, log, checkpoints } = parts;
  let eyes: Eyes | null = null;
  const pipeline = startPipeline(parts, io, () => eyes);
  eyes = await createEyes(parts, io, pipeline);
  const disk = watchDisk(settings);
  parts.notes.connect(pipeline.offer);
  const protection = startProtection(parts, pipeline);
  let unready: string | null = "starting";
  const deps: ApiDeps = {
    ...apiDeps(parts, { pipeline, eyes, io }),
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
    {
      name: "cgroups",
      everyMs: RECOVER_MS,
      round: () => sweepRuns(settings.data_dir, parts.clock),
    },
    { name: "protection", everyMs: RECOVER_MS, round: protection.round },
  ]);
  await checkpoints.recover();
  await createSpool(join(settings.data_dir, SPOOL_DIRECTORY), {
    ...parts,
    offer: pipeline.offer,
    now: () => parts.clock.now(),
  }).drain();
  await eyes.start();
  await protection.check();
  unready = null;
  log.info("observer is ready", { url: pageUrl(listening), data: settings.data_dir });
  void protection.takeBaselines();
  return {
    url: pageUrl(listening),
    settings,
    stop: (graceMs) => stop({ parts, pipeline, eyes, listening, stopLoops, unlock }, graceMs),
  };
}

/** The address to open; none when only the unix socket is there. */
function pageUrl({ urls }: Listening): string {
  return urls[0] ?? "";
}

function pressureOf(inboxFull: boolean, diskFull: boolean): ReturnType<ApiDeps["pressure"]> {
  const code = diskFull ? "no_space" : inboxFull ? "overloaded" : null;
  return code && { code, retryAfterS: RETRY_AFTER_S[code] };
}

interface Stoppable {
  parts: Parts;
  pipeline: Pipeline;
  eyes: Eyes;
  listening: Listening;
  stopLoops: () => Promise<void>;
  unlock: () => void;
}

async function stop(
  { parts, pipeline, eyes, listening, stopLoops, unlock }: Stoppable,
  graceMs: number,
): Promise<void> {
  await listening.stop(graceMs / 2);
  await eyes.stop();
  await pipeline.stop(graceMs / 2);
  await stopLoops();
  await parts.checkpoints.stop();
  parts.store.close();
  unlock();
  parts.log.info("observer has stopped");
}
