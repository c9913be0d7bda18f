// Every setting: name, type, default, unit, rule and a sentence. The reference page is made from this table.

import { homedir } from "node:os";
import { parseDuration, parseSize } from "../core/units.ts";
import { LOG_LEVELS } from "../telemetry/log.ts";
import {
  type Definition,
  duration,
  flag,
  GIB,
  integer,
  KIB,
  MIB,
  size,
  string,
  strings,
} from "./definition.ts";
import { KEEP_SETTINGS } from "./keep-settings.ts";

/** Dotted name → definition. A dotted name is `[section] key` in TOML and `OBSERVER_SECTION_KEY` in the environment. */
export const SETTINGS = {
  port: integer(3800, 0, 65_535, "TCP port of the API and the dashboard; 0 takes a free one."),
  host: string(
    "",
    "Address to bind. Empty: both loopbacks, 127.0.0.1 and ::1. Others need a token.",
  ),
  insecure: flag(false, "Allows an address beyond loopback without a token."),
  require_token: flag(
    false,
    "Asks every caller of a guarded endpoint for a token, also root and observer's own user.",
  ),
  allowed_hosts: strings(
    [],
    "Host header values accepted beside loopback names, for a reverse proxy.",
  ),
  data_dir: {
    kind: "path",
    default: "",
    help: "Where everything is kept. Empty: $STATE_DIRECTORY, /var/lib/observer as root, else $XDG_STATE_HOME/observer.",
  } as Definition<string>,
  workspaces: {
    kind: "paths",
    default: [],
    help: "Directories that agents work in and that may be checkpointed.",
  } as Definition<string[]>,
  workspaces_forced: {
    kind: "paths",
    default: [],
    help: "Workspaces accepted although they are a home or system directory.",
  } as Definition<string[]>,
  token_file: {
    kind: "path",
    default: "",
    help: "File with the admin token. Empty: `token` in the data directory, made at first start.",
  } as Definition<string>,
  host_name: string("", "Name of this host on every row. Empty: the system's name."),
  gateway_url: string(
    "http://localhost:3700",
    "Agent gateway that `/gateway/*` and the client module talk to.",
  ),
  lakehouse_url: string("http://localhost:3100", "Lakehouse with `POST /ai/generate`."),
  cycle_s: integer(30, 1, 86_400, "Seconds between two cycles of the learning loops."),
  durability: string(
    "full",
    "`full`: answered after fsync, survives power loss. `normal`: survives kill -9.",
    ["full", "normal"],
  ),
  "log.level": string("info", "Least important level that is logged.", LOG_LEVELS),
  "limits.body_bytes": size(MIB, KIB, "Largest body of one event or hook."),
  "limits.batch_bytes": size(16 * MIB, KIB, "Largest body of a batch, after decompression too."),
  "limits.depth": integer(64, 8, 1_000, "Deepest nesting of JSON that is taken."),
  "limits.inbox_events": integer(
    50_000,
    100,
    10_000_000,
    "Events that may wait for the tick; more are refused with 429.",
  ),
  "limits.inbox_bytes": size(64 * MIB, MIB, "Bytes of events that may wait for the tick."),
  "limits.disk_free_bytes": size(64 * MIB, 0, "Free space below which ingest is refused with 507."),
  "limits.stream_subscribers": integer(200, 1, 10_000, "Live streams open at once."),
  "reactive.enabled": flag(
    false,
    "Checkpoints the workspace on critical interruptions and on context overflow.",
  ),
  "reactive.debounce_ms": duration(
    30_000,
    0,
    86_400_000,
    "Least time between two automatic checkpoints of one workspace.",
  ),
  "reactive.dry_run": flag(false, "Decides and records reactions without performing them."),
  "alert.severity": string("medium", "Least severe interruption that alerts.", [
    "info",
    "low",
    "medium",
    "high",
    "critical",
  ]),
  "alert.terminal": flag(true, "Alerts are printed on observer's standard error."),
  "alert.file": flag(true, "Alerts are appended to `alerts.log` in the data directory."),
  "interruptions.quiet_ms": duration(
    1_800_000,
    1_000,
    604_800_000,
    "A trouble that was quiet this long is a new one when it comes back.",
  ),
  "detectors.retry_limit": integer(
    5,
    1,
    10_000,
    "Failures of the same command in one session that are `retry_limit`.",
  ),
  "detectors.loop_repetitions": integer(
    3,
    2,
    1_000,
    "Repetitions of a sequence of calls that are `dead_loop`.",
  ),
  "detectors.loop_length_min": integer(
    3,
    2,
    6,
    "Shortest sequence of calls for which `loop_repetitions` holds; shorter ones need 10.",
  ),
  "detectors.storm_errors": integer(
    5,
    2,
    10_000,
    "Equal provider errors in one session that are `retry_storm`.",
  ),
  "detectors.storm_window_ms": duration(600_000, 1_000, 86_400_000, "Window of `retry_storm`."),
  "agents.enabled": flag(true, "Finds agents among the processes of this host."),
  "agents.rules": strings(
    [],
    "More agents, added to the known ones: `KIND=PROGRAM [ARGUMENT…]`, matched by position; `*` is a wildcard.",
  ),
  "agents.scan_ms": duration(
    2_000,
    200,
    60_000,
    "Pause between two looks at all processes; where the kernel reports each new program, a tenth as often.",
  ),
  "agents.pause_ms": duration(
    1_800_000,
    1_000,
    604_800_000,
    "How long a pause lasts unless it is ended or asked for longer.",
  ),
  "agents.kill_grace_ms": duration(
    5_000,
    0,
    300_000,
    "Time between SIGTERM and SIGKILL when an agent is killed.",
  ),
  "memory.watch_percent": integer(
    70,
    10,
    99,
    "Share of an agent's memory limit in use that is `memory_pressure`.",
  ),
  "memory.checkpoint_percent": integer(
    80,
    10,
    99,
    "Share of the limit at which the workspace is saved before the kernel may kill.",
  ),
  "memory.freeze": flag(
    true,
    "Stops an agent for the checkpoint when it would reach its limit before that is done.",
  ),
  "memory.freeze_cap_ms": duration(3_000, 100, 3_000, "Longest that an agent is stopped for it."),
  "checkpoints.deadline_ms": duration(
    10_000,
    100,
    3_600_000,
    "Longest a btrfs checkpoint may take before it is given up as `unknown`.",
  ),
  "checkpoints.store_deadline_ms": duration(
    120_000,
    100,
    3_600_000,
    "The same for observer's own store, whose first checkpoint copies everything.",
  ),
  "checkpoints.file_bytes": size(100 * MIB, 0, "Larger files are skipped and listed."),
  "checkpoints.total_bytes": size(
    5 * GIB,
    MIB,
    "Most content of one checkpoint; the rest is skipped and listed.",
  ),
  "checkpoints.files": integer(300_000, 1, 10_000_000, "Most files of one checkpoint."),
  "checkpoints.exclude": strings(
    [],
    "Names of files and directories left out, beside the default ones.",
  ),
  ...KEEP_SETTINGS,
} as const;

export type SettingName = keyof typeof SETTINGS;

/** The merged, checked and frozen configuration. Durations are milliseconds, sizes bytes, paths absolute. */
export type Settings = {
  readonly [Name in SettingName]: (typeof SETTINGS)[Name] extends Definition<infer T> ? T : never;
};

/** Where a value came from, for `config show --origin`. */
export type Origin = "default" | `file ${string}` | `environment ${string}` | `flag ${string}`;

/** What is wrong with one setting: `field`, the value as given, and the rule that it breaks. */
export interface SettingProblem {
  field: string;
  value: string;
  rule: string;
}

function definitionOf(name: SettingName): Definition<unknown> {
  return SETTINGS[name] as Definition<unknown>;
}

/** Default of every setting; a fresh object. */
export function defaultSettings(): Record<SettingName, unknown> {
  const values = {} as Record<SettingName, unknown>;
  for (const name of Object.keys(SETTINGS) as SettingName[])
    values[name] = definitionOf(name).default;
  return values;
}

/** Environment variable of a setting: `reactive.enabled` is `OBSERVER_REACTIVE_ENABLED`. */
export function environmentName(name: SettingName): string {
  return `OBSERVER_${name.replace(/\./g, "_").toUpperCase()}`;
}

/** Converts and checks one raw value (from a file, the environment or a flag). */
export function parseSetting(
  name: SettingName,
  raw: unknown,
): { value: unknown } | { rule: string } {
  const definition = definitionOf(name);
  switch (definition.kind) {
    case "boolean":
      return parseBoolean(raw);
    case "integer":
    case "number":
      return inRange(toNumber(raw), definition, definition.kind === "integer");
    case "duration":
      return inRange(
        toUnit(raw, parseDuration),
        definition,
        false,
        "a duration such as 30s or 10m",
      );
    case "size":
      return inRange(toUnit(raw, parseSize), definition, false, "a size such as 64MiB");
    case "string":
      return parseString(raw, definition);
    case "path":
      return typeof raw === "string" ? { value: expandHome(raw) } : { rule: "must be a path" };
    case "strings":
    case "paths":
      return parseList(raw, definition.kind === "paths");
  }
}

function parseBoolean(raw: unknown): { value: boolean } | { rule: string } {
  if (typeof raw === "boolean") return { value: raw };
  if (raw === "true" || raw === "1" || raw === "yes") return { value: true };
  if (raw === "false" || raw === "0" || raw === "no") return { value: false };
  return { rule: "must be true or false" };
}

function parseString(
  raw: unknown,
  definition: Definition<unknown>,
): { value: string } | { rule: string } {
  if (typeof raw !== "string") return { rule: "must be text" };
  if (definition.oneOf && !definition.oneOf.includes(raw)) {
    return { rule: `must be one of ${definition.oneOf.join(", ")}` };
  }
  return { value: raw };
}

function parseList(raw: unknown, paths: boolean): { value: string[] } | { rule: string } {
  // In the environment a list is written with colons, as PATH is.
  const items = typeof raw === "string" ? raw.split(":").filter((item) => item !== "") : raw;
  if (!Array.isArray(items) || !items.every((item) => typeof item === "string")) {
    return { rule: "must be a list of texts" };
  }
  return { value: paths ? items.map(expandHome) : items };
}

function toNumber(raw: unknown): number {
  if (typeof raw === "number") return raw;
  return typeof raw === "string" && raw.trim() !== "" ? Number(raw) : Number.NaN;
}

function toUnit(raw: unknown, parse: (text: string) => number | null): number {
  if (typeof raw === "number") return raw;
  return typeof raw === "string" ? (parse(raw) ?? toNumber(raw)) : Number.NaN;
}

function inRange(
  value: number,
  definition: Definition<unknown>,
  whole: boolean,
  what = "a number",
): { value: number } | { rule: string } {
  const { min = -Infinity, max = Infinity } = definition;
  if (Number.isNaN(value)) return { rule: `must be ${whole ? "a whole number" : what}` };
  if (whole && !Number.isInteger(value)) return { rule: "must be a whole number" };
  if (value < min || value > max) return { rule: `must be between ${min} and ${max}` };
  return { value };
}

function expandHome(path: string): string {
  return path === "~" || path.startsWith("~/") ? homedir() + path.slice(1) : path;
}
