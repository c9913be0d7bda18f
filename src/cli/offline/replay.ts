// `observer replay`: recorded events through the detectors, reactions off, nothing stored.

import { interruptionView } from "../../api/views.ts";
import { loadConfig } from "../../config/load.ts";
import { newId } from "../../core/ids.ts";
import type { Interruption } from "../../core/interruption.ts";
import { createRedactor } from "../../core/redact.ts";
import { createDetectors } from "../../detectors/catalog.ts";
import { detectorOptions } from "../../composition/pipeline.ts";
import { createAnalysis } from "../../pipeline/analysis.ts";
import { createPrepare } from "../../pipeline/prepare.ts";
import { readDrafts } from "../../sources/import.ts";
import { createLog } from "../../telemetry/log.ts";
import { createMetrics } from "../../telemetry/metrics.ts";
import type { CliIo } from "../io.ts";
import type { ReplayReport } from "../local.ts";

/** @throws ObserverError when the file cannot be read or is of no known format. */
export async function replay(path: string, io: CliIo): Promise<ReplayReport> {
  const { settings } = loadConfig({ flags: {}, environment: io.env, cwd: io.cwd, uid: io.uid });
  const { clock } = io;
  const analysis = createAnalysis({
    context: {
      host: settings.host_name,
      quietMs: settings["interruptions.quiet_ms"],
      newId,
      now: () => clock.now(),
      workspaceOf: () => null,
    },
    sessionOf: () => null,
    createDetectors: () => createDetectors(detectorOptions(settings)),
    log: createLog({ level: "error", json: false, now: () => clock.now(), write: io.stderr }),
    metrics: createMetrics(),
  });
  const prepare = createPrepare({ clock, host: settings.host_name, redact: createRedactor() });
  const found = new Map<string, Interruption>();
  const seen = new Set<string>();
  let events = 0;
  for await (const { drafts, error, index } of readDrafts(path)) {
    if (error !== undefined) io.stderr(`line ${index + 1}: ${error}\n`);
    for (const draft of drafts) {
      const { event, given } = prepare(draft);
      const name = `${event.source}\u0000${event.id}`;
      if (given && seen.has(name)) continue;
      if (given) seen.add(name);
      events += 1;
      event.seq = events;
      if (!given) event.id = `replay-${events}`;
      for (const { interruption } of analysis.observe(event))
        found.set(interruption.id, interruption);
    }
  }
  return { events, interruptions: [...found.values()].map(interruptionView) };
}
