// Merges flags, environment, file and defaults into one frozen object, or reports every problem at once.

import { readFileSync } from "node:fs";
import { homedir, hostname } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { messageOf, ObserverError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { type ConfigFile, readConfigFile } from "./config-file.ts";
import {
  defaultSettings,
  environmentName,
  type Origin,
  parseSetting,
  type SettingName,
  type SettingProblem,
  type Settings,
  SETTINGS,
} from "./settings.ts";

export interface LoadInput {
  /** Setting name → raw value, from the command line. */
  flags: Partial<Record<SettingName, unknown>>;
  /** `--config FILE`. */
  file?: string;
  environment: Record<string, string | undefined>;
  cwd: string;
  /** Effective uid: root's data directory is another one. */
  uid: number;
}

export interface LoadedConfig {
  settings: Settings;
  origins: Record<SettingName, Origin>;
  warnings: string[];
}

/** Names that older scripts set; each is read when the proper one is not there. */
const LEGACY_ENVIRONMENT: Partial<Record<SettingName, string>> = {
  cycle_s: "OBSERVER_CYCLE",
  gateway_url: "GATEWAY_URL",
  lakehouse_url: "LAKEHOUSE_URL",
  data_dir: "OBSERVER_DATA",
};

const NAMES = Object.keys(SETTINGS) as SettingName[];

/** @throws ObserverError `invalid` whose `detail.problems` lists every `SettingProblem`. */
export function loadConfig(input: LoadInput): LoadedConfig {
  const values = defaultSettings();
  const origins = Object.fromEntries(NAMES.map((name) => [name, "default"])) as Record<
    SettingName,
    Origin
  >;
  const problems: SettingProblem[] = [];
  const file = input.file === undefined ? null : readConfigFile(resolve(input.cwd, input.file));

  const take = (name: SettingName, raw: unknown, origin: Origin): void => {
    const parsed = parseSetting(name, raw);
    if ("rule" in parsed) {
      problems.push({ field: `${name} (${origin})`, value: shown(raw), rule: parsed.rule });
    } else {
      values[name] = parsed.value;
      origins[name] = origin;
    }
  };

  for (const [name, raw] of file?.values ?? []) {
    if (name in SETTINGS) take(name as SettingName, raw, `file ${file?.path ?? ""}`);
    else problems.push(unknownSetting(name, raw, file as ConfigFile));
  }
  takeEnvironment(input.environment, take, problems);
  for (const [name, raw] of Object.entries(input.flags)) {
    if (raw !== undefined) take(name as SettingName, raw, `flag ${name}`);
  }
  if (problems.length > 0) throw configError(problems);
  const settings = Object.freeze(complete(values, input)) as Settings;
  return { settings, origins, warnings: file?.warnings ?? [] };
}

function takeEnvironment(
  environment: Record<string, string | undefined>,
  take: (name: SettingName, raw: unknown, origin: Origin) => void,
  problems: SettingProblem[],
): void {
  for (const name of NAMES) {
    const proper = environmentName(name);
    const legacy = LEGACY_ENVIRONMENT[name];
    const variable =
      environment[proper] !== undefined
        ? proper
        : legacy && environment[legacy] !== undefined
          ? legacy
          : null;
    const fromFile = environment[`${proper}_FILE`];
    if (variable) {
      take(name, environment[variable], `environment ${variable}`);
    } else if (fromFile !== undefined) {
      try {
        take(name, readFileSync(fromFile, "utf8").trim(), `environment ${proper}_FILE`);
      } catch (cause) {
        problems.push({ field: `${proper}_FILE`, value: fromFile, rule: messageOf(cause) });
      }
    }
  }
}

function unknownSetting(name: string, raw: unknown, file: ConfigFile): SettingProblem {
  const close = nearest(name, NAMES);
  const rule = `is not a setting${close ? `; did you mean "${close}"?` : ""}`;
  return { field: `${name} (file ${file.path})`, value: shown(raw), rule };
}

/** All problems in one error, one line each. */
export function configError(problems: SettingProblem[]): ObserverError {
  const lines = problems.map(({ field, value, rule }) => `  ${field}: ${rule}, got ${value}`);
  return new ObserverError("invalid", `Cannot use this configuration:\n${lines.join("\n")}`, {
    detail: { problems },
  });
}

function shown(raw: unknown): string {
  const text = JSON.stringify(raw) ?? String(raw);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** Fills in what depends on the machine, and makes paths absolute. */
function complete(values: Record<SettingName, unknown>, input: LoadInput): Record<string, unknown> {
  const absolute = (path: string): string =>
    isAbsolute(path) ? resolve(path) : resolve(input.cwd, path);
  const dataDirectory = (values.data_dir as string) || defaultDataDirectory(input);
  return {
    ...values,
    data_dir: absolute(dataDirectory),
    workspaces: (values.workspaces as string[]).map(absolute),
    workspaces_forced: (values.workspaces_forced as string[]).map(absolute),
    token_file: (values.token_file as string) && absolute(values.token_file as string),
    host_name: (values.host_name as string) || hostname(),
  };
}

/** Where data is kept when nothing says so; clients look there for the socket and the token too. */
export function defaultDataDirectory({
  environment,
  uid,
}: Pick<LoadInput, "environment" | "uid">): string {
  // systemd gives several state directories separated by colons; the first is the unit's own.
  const state = environment["STATE_DIRECTORY"]?.split(":")[0];
  if (state) return state;
  if (uid === 0) return "/var/lib/observer";
  return join(environment["XDG_STATE_HOME"] || join(homedir(), ".local/state"), "observer");
}
