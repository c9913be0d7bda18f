// What verbs do without a daemon: given by the composition root, because it needs folders above the command line.

import type { Capability } from "../core/agent.ts";
import type { Client } from "./client.ts";
import type { LocalFacts } from "./doctor-checks.ts";
import type { WhereFlags } from "./find-daemon.ts";
import type { CliIo } from "./io.ts";

export interface ReplayReport {
  events: number;
  /** In the shape of `GET /interruptions`. */
  interruptions: Record<string, unknown>[];
}

export interface ImportReport {
  files: number;
  accepted: number;
  duplicates: number;
  rejected: { file: string; index: number; error: string }[];
}

export interface ExportRequest {
  /** Full id of the checkpoint. */
  id: string;
  /** Absolute directory to write, as the caller's own user. */
  to: string;
  /** Only this path of the workspace, relative to it. */
  path?: string;
  /** Absolute data directory that holds the checkpoint. */
  dataDir: string;
}

export interface ExportReport {
  files: number;
  bytes: number;
  warnings: string[];
}

export interface ConfigRequest {
  /** Path of the configuration file; absent: the default places. */
  config?: string;
  json: boolean;
  /** `show` only: where each value came from. */
  origin: boolean;
}

/** Of a terminal, in cells. */
export interface ScreenSize {
  columns: number;
  rows: number;
}

export interface RunOptions {
  /** CMD and its arguments. */
  command: string[];
  name: string | null;
  memoryLimitBytes: number | null;
  /** As typed; absent for the working directory. */
  workspace: string | undefined;
  quiet: boolean;
  where: WhereFlags;
}

/** Errors of every function are `ObserverError`s or `UsageError`s; their text is printed. */
export interface CliLocal {
  /** Runs the daemon; resolves with the exit status when it has stopped. */
  serve(argv: string[]): Promise<number>;
  /** Runs recorded events through the detectors, with reactions off. `file` is absolute. */
  replay(file: string): Promise<ReplayReport>;
  /** Parses recordings (absolute paths) and hands their events to the daemon. */
  importFile(paths: string[], client: Client): Promise<ImportReport>;
  /** Plays the recorded incident; resolves with the exit status. */
  demo(request: { keep: boolean }, io: CliIo): Promise<number>;
  /** Starts CMD as an observed agent; resolves with its exit status. */
  run(options: RunOptions, io: CliIo): Promise<number>;
  /** What stands in the way of a daemon of this user. `data` as given by the flag. */
  inspectHost(data: string | undefined): LocalFacts;
  /** Tries as this user what the host allows. */
  tryCapabilities(data: string | undefined): Promise<Capability[]>;
  /** Shows frame after frame on the terminal's other screen until `q` or a signal; resolves with the exit status. */
  showLive(frame: (size: ScreenSize) => Promise<string>): Promise<number>;
  exportCheckpoint(request: ExportRequest): Promise<ExportReport>;
  configShow(request: ConfigRequest, io: CliIo): Promise<number>;
  configValidate(request: ConfigRequest, io: CliIo): Promise<number>;
  configInit(request: ConfigRequest, io: CliIo): Promise<number>;
}
