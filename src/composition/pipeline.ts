// The pipeline with its detectors, policy and reactions, as the settings want them.

import { realpathSync } from "node:fs";
import { join } from "node:path";
import type { Settings } from "../config/settings.ts";
import type { Severity } from "../core/interruption.ts";
import { createRedactor } from "../core/redact.ts";
import {
  createDetectors,
  DEFAULT_DETECTOR_OPTIONS,
  type DetectorOptions,
} from "../detectors/catalog.ts";
import { liveEvent } from "../pipeline/live-feed.ts";
import { createPipeline, type Pipeline } from "../pipeline/pipeline.ts";
import { type ConfiguredWorkspace, resolveWorkspace } from "../pipeline/workspaces.ts";
import { createReactions } from "../reactions/catalog.ts";
import type { StoredEvent } from "../store/event-rows.ts";
import type { Eyes } from "./eyes.ts";
import type { ObserverIo, Parts } from "./parts.ts";

/**
 * What the pipeline asks of the kernel side, which itself hands its events to the pipeline: null until both are there.
 */
type Look = () => Pick<Eyes, "workspaces" | "memory" | "note"> | null;

export function startPipeline(
  { settings, clock, log, metrics, store, live, checkpoints }: Parts,
  io: ObserverIo,
  look: Look,
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
      workspaceOf: (facts) =>
        resolveWorkspace(facts, { configured, confirmed: look()?.workspaces.list() ?? [] }),
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
        holdFreeze: (interruption) => look()?.memory.holdFreeze(interruption) ?? null,
      }),
      isArmed: (interruption) =>
        settings["reactive.enabled"] || (look()?.workspaces.isOfRun(interruption) ?? false),
      publish(type, data) {
        if (type === "event") look()?.note((data as StoredEvent).event);
        live.publish(type, type === "event" ? liveEvent(data as StoredEvent) : data);
      },
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
