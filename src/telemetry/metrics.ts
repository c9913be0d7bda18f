// The closed list of counters and gauges; anything dropped is counted here with its reason.

interface MetricDefinition {
  type: "counter" | "gauge";
  help: string;
  labels: readonly string[];
}

/** Every metric that observer exposes. Label values come from code, never from agents. */
export const METRICS = {
  observer_events_accepted_total: {
    type: "counter",
    help: "Events committed, by kind.",
    labels: ["kind"],
  },
  observer_events_duplicate_total: {
    type: "counter",
    help: "Events whose (source, id) was already stored with the same body.",
    labels: [],
  },
  observer_events_rejected_total: {
    type: "counter",
    help: "Events refused, by reason: invalid, conflict, overloaded, storage, lost.",
    labels: ["reason"],
  },
  observer_requests_refused_total: {
    type: "counter",
    help: "HTTP requests refused before their body was used, by reason.",
    labels: ["reason"],
  },
  observer_hooks_total: {
    type: "counter",
    help: "Hook bodies received, by vendor.",
    labels: ["vendor"],
  },
  observer_spool_events_total: {
    type: "counter",
    help: "Events that runs left while no daemon listened, by outcome: accepted, duplicate, rejected, corrupt, and unreadable files.",
    labels: ["outcome"],
  },
  observer_commits_total: {
    type: "counter",
    help: "Transactions committed by the tick.",
    labels: [],
  },
  observer_commit_failures_total: {
    type: "counter",
    help: "Transactions that failed and were retried row by row.",
    labels: [],
  },
  observer_interruptions_total: {
    type: "counter",
    help: "Interruptions opened, by type.",
    labels: ["type"],
  },
  observer_reactions_total: {
    type: "counter",
    help: "Reactions decided, by kind and status.",
    labels: ["kind", "status"],
  },
  observer_checkpoints_total: {
    type: "counter",
    help: "Checkpoints attempted, by backend and status.",
    labels: ["backend", "status"],
  },
  observer_checkpoints_pruned_total: {
    type: "counter",
    help: "Checkpoints removed by retention, by reason.",
    labels: ["reason"],
  },
  observer_checkpoint_prune_failures_total: {
    type: "counter",
    help: "Checkpoints that retention could not remove; they are tried again.",
    labels: [],
  },
  observer_checkpoint_freed_bytes_total: {
    type: "counter",
    help: "Bytes that deletions gave back to the file system of the store.",
    labels: [],
  },
  observer_checkpoint_scrubs_total: {
    type: "counter",
    help: "Checkpoints read back by themselves, by result: ok, damaged, failed.",
    labels: ["result"],
  },
  observer_checkpoint_index_rebuilds_total: {
    type: "counter",
    help: "Times that the store's index was made again from its packs.",
    labels: [],
  },
  observer_checkpoint_blobs_lost_total: {
    type: "counter",
    help: "Pieces of content that were found damaged while the index was made again.",
    labels: [],
  },
  observer_detector_faults_total: {
    type: "counter",
    help: "Detectors that threw; the detector is switched off after too many.",
    labels: ["detector"],
  },
  observer_oom_proofs_total: {
    type: "counter",
    help: "Proofs of kills for want of memory, by source.",
    labels: ["source"],
  },
  observer_memory_samples_total: {
    type: "counter",
    help: "Looks at the memory of agents' cgroups and of the host.",
    labels: [],
  },
  observer_memory_levels_total: {
    type: "counter",
    help: "Times that an agent came nearer to its memory limit, by level.",
    labels: ["level"],
  },
  observer_memory_freezes_total: {
    type: "counter",
    help: "Agents stopped before their memory limit, by outcome: saved, needless, unclaimed, capped, failed.",
    labels: ["outcome"],
  },
  observer_loop_restarts_total: {
    type: "counter",
    help: "Supervised loops that threw and were restarted.",
    labels: ["loop"],
  },
  observer_freezes_total: {
    type: "counter",
    help: "Stops of an agent for a moment, by method and outcome: thawed, capped, guardian_lost, stopped, killed, refused, failed.",
    labels: ["method", "outcome"],
  },
  observer_pauses_total: {
    type: "counter",
    help: "Pauses: paused, renewed, taken_over, restopped, resumed, expired, gone, killed, failed.",
    labels: ["event"],
  },
  observer_kills_total: {
    type: "counter",
    help: "Kills of an agent, by outcome: done, or the error's code.",
    labels: ["outcome"],
  },
  observer_guardian_restarts_total: {
    type: "counter",
    help: "Guardians that died, were silent, or failed to start, by reason: died, silent, failed.",
    labels: ["reason"],
  },
  observer_stream_dropped_total: {
    type: "counter",
    help: "Live stream frames not sent to a slow subscriber.",
    labels: [],
  },
  observer_agents: { type: "gauge", help: "Agents that live now.", labels: [] },
  observer_process_scans_total: {
    type: "counter",
    help: "Looks at all processes, by how: incremental, full.",
    labels: ["how"],
  },
  observer_process_scan_ms: {
    type: "gauge",
    help: "Duration of the last look at all processes, in milliseconds.",
    labels: [],
  },
  observer_process_events_total: {
    type: "counter",
    help: "Process events of the kernel, by what: fork, exec, exit, coredump.",
    labels: ["what"],
  },
  observer_process_events_lost_total: {
    type: "counter",
    help: "Times that process events of the kernel were lost; a full look follows.",
    labels: [],
  },
  observer_agent_exits_total: {
    type: "counter",
    help: "Ends of agents, by the first who told: pidfd, proc_connector, zombie, parent, gone.",
    labels: ["seen_by"],
  },
  observer_child_exits_dropped_total: {
    type: "counter",
    help: "Violent deaths of agents' children not kept because one agent had too many.",
    labels: [],
  },
  observer_inbox_events: { type: "gauge", help: "Events waiting for the tick.", labels: [] },
  observer_inbox_bytes: {
    type: "gauge",
    help: "Bytes of events waiting for the tick.",
    labels: [],
  },
  observer_stream_subscribers: { type: "gauge", help: "Open live streams.", labels: [] },
  observer_checkpoint_store_bytes: {
    type: "gauge",
    help: "What the checkpoint store occupies.",
    labels: [],
  },
  observer_checkpoint_free_bytes: {
    type: "gauge",
    help: "Free space where the checkpoint store is.",
    labels: [],
  },
  observer_checkpoint_short_bytes: {
    type: "gauge",
    help: "Bytes by which the checkpoint store is over its bounds.",
    labels: [],
  },
  observer_workspaces_unprotected: {
    type: "gauge",
    help: "Configured workspaces that cannot be saved.",
    labels: [],
  },
  observer_database_bytes: { type: "gauge", help: "Size of the database file.", labels: [] },
} as const satisfies Record<string, MetricDefinition>;

export type MetricName = keyof typeof METRICS;

export interface Metrics {
  add(name: MetricName, by?: number, labels?: Record<string, string>): void;
  set(name: MetricName, value: number): void;
  get(name: MetricName, labels?: Record<string, string>): number;
  /** Prometheus text exposition format 0.0.4. */
  render(): string;
}

export function createMetrics(): Metrics {
  const values = new Map<MetricName, Map<string, number>>();
  const series = (name: MetricName): Map<string, number> => {
    let found = values.get(name);
    if (!found) values.set(name, (found = new Map()));
    return found;
  };
  const keyOf = (labels: Record<string, string> = {}): string =>
    Object.entries(labels)
      .map(([label, value]) => `${label}="${value.replace(/["\\\n]/g, "_")}"`)
      .join(",");
  return {
    add(name, by = 1, labels) {
      const key = keyOf(labels);
      series(name).set(key, (series(name).get(key) ?? 0) + by);
    },
    set: (name, value) => void series(name).set("", value),
    get: (name, labels) => series(name).get(keyOf(labels)) ?? 0,
    render() {
      const lines: string[] = [];
      for (const [name, definition] of Object.entries(METRICS) as [
        MetricName,
        MetricDefinition,
      ][]) {
        lines.push(`# HELP ${name} ${definition.help}`, `# TYPE ${name} ${definition.type}`);
        const found = series(name);
        if (found.size === 0 && definition.labels.length === 0) lines.push(`${name} 0`);
        for (const [key, value] of found)
          lines.push(key ? `${name}{${key}} ${value}` : `${name} ${value}`);
      }
      return `${lines.join("\n")}\n`;
    },
  };
}
