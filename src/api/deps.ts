// All that the HTTP surface is given by the composition root; it reaches for nothing else.

import type { AgentRegistry, Brakes, Capability, ProcessId } from "../core/agent.ts";
import type { BuildInfo } from "../core/build-info.ts";
import type { CheckpointService, Checkpoint } from "../core/checkpoint.ts";
import type { Clock } from "../core/clock.ts";
import type { HookParser, Offer } from "../core/contracts.ts";
import type { EventDraft, ObserverEvent } from "../core/event.ts";
import type { Interruption } from "../core/interruption.ts";
import type { ReactionRecord } from "../core/reaction.ts";
import type { AdoptedRun, RunExit, RunRequest } from "../core/run.ts";
import type { Session } from "../core/session.ts";
import type { Settings } from "../config/settings.ts";
import type { ListQuery, Page } from "../store/query.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";

/** Reads of one table. `list` refuses an unknown filter with `invalid`, naming the ones that exist. */
export interface Reads<T> {
  list(query: ListQuery): Promise<Page<T>>;
  get(id: string): T | null;
}

export interface SeedStats {
  total: number;
  successes: number;
  failures: number;
  by_source: Record<string, number>;
}

/** The last 2,000 operations, as the seed's endpoints show them. */
export interface OperationsRing {
  size(): number;
  stats(): SeedStats & {
    recent_scenario_ops: Record<string, unknown>[];
    all_time: SeedStats;
  };
}

export type LiveType = "event" | "interruption" | "reaction" | "checkpoint" | "stats";

/**
 * One frame for `/stream`; `id` increases and is what `Last-Event-ID` resumes from. `data` is the core type
 * that `type` names (`ObserverEvent`, `Interruption`, `ReactionRecord`, `Checkpoint`), for `stats` any object.
 */
export interface LiveFrame {
  id: number;
  type: LiveType;
  data: unknown;
}

/** A bounded window of what happened, and whoever listens to it. */
export interface LiveFeed {
  publish(type: LiveType, data: unknown): void;
  /**
   * Frames after `afterId` that are still held, before this returns; then new ones until the returned function
   * is called. `null`: only new ones.
   */
  subscribe(afterId: number | null, deliver: (frames: LiveFrame[]) => void): () => void;
}

/** Who is at the other end of a loopback connection; null when that cannot be told. */
export type PeerLookup = (connection: {
  localAddress: string;
  localPort: number;
  remoteAddress: string;
  remotePort: number;
}) => number | null;

/** Turns one parsed JSON value into a draft; `now` is receipt time in milliseconds. */
export type BodyParser = (body: unknown, now: () => number) => EventDraft;

export interface Protection {
  armed: boolean;
  /** `backend` null: it cannot be saved, `reason` says why. */
  workspaces: { path: string; backend: string | null; reason: string }[];
}

/** Memory of an agent's tree as it is now. Null what cannot be told, and a limit where there is none. */
export interface AgentMemory {
  rssBytes: number | null;
  limitBytes: number | null;
  /** At the present pace; null while it is not filling. */
  timeToLimitMs: number | null;
}

export interface ApiDeps {
  build: BuildInfo;
  settings: Settings;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  host: string;
  /** Text of the token file, see `tokens.ts`; compared in constant time. */
  tokens: string;
  /** User that observer runs as; its processes may do what root may. */
  ownUid: number;
  offer: Offer;
  /** Body of `POST /event`; throws `ObserverError` `invalid`. */
  parseOperation: BodyParser;
  /** One native event of `POST /events`; throws `ObserverError` `invalid`. */
  parseNative: BodyParser;
  /** True when the inbox is full or the disk is; the answer says which, with seconds to wait. */
  pressure(): { code: "overloaded" | "no_space"; retryAfterS: number } | null;
  hooks: Record<string, HookParser>;
  ring: OperationsRing;
  events: Reads<ObserverEvent>;
  sessions: Reads<Session>;
  interruptions: Reads<Interruption> & { resolve(id: string): Interruption | null };
  reactions: Reads<ReactionRecord>;
  checkpointRows: Reads<Checkpoint> & { byPrefix(prefix: string): Checkpoint[] };
  checkpoints: CheckpointService;
  agents: AgentRegistry;
  brakes: Brakes;
  /** Null for an agent that is not known. */
  memoryOf(agentId: string): AgentMemory | null;
  /** Letter of /proc/PID/stat; null when the process is gone, also when its pid is another's now. */
  processState(process: ProcessId): string | null;
  /** Probed when asked for, at most once in a while. */
  capabilities(): Promise<Capability[]>;
  /** GPUs in the kernel layer's own names, and why there are none. */
  gpus(): Promise<{ gpus: readonly object[]; reason: string | null }>;
  /**
   * Takes up a run. Errors: `not_permitted` when the process is not the caller's, `vanished` when it is gone,
   * `conflict` when the id is another run's.
   */
  adoptRun(request: RunRequest, callerUid: number): Promise<AdoptedRun>;
  /** Also of a run that was never taken up. Errors: `not_permitted`, `conflict` when it lives. */
  reportRunExit(runId: string, exit: RunExit, callerUid: number): Promise<void>;
  live: LiveFeed;
  peerUid: PeerLookup;
  /** Since when this observer runs, monotonic. */
  startedMs: number;
  /** Which configured workspaces can be saved, and whether trouble saves them by itself. */
  protection(): Protection;
  /** Null when ready, else why not. */
  unready(): string | null;
  /** The dashboard page and its parts, by path. */
  assets: Map<string, { body: Uint8Array; type: string; gzip?: Uint8Array }>;
}
