// `observer config`: what the configuration is, whether it holds, and a file to begin with.

import { existsSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { loadConfig, type LoadedConfig } from "../../config/load.ts";
import { ObserverError } from "../../core/errors.ts";
import { SETTINGS, type SettingName } from "../../config/settings.ts";
import type { CliIo } from "../io.ts";
import type { ConfigRequest } from "../local.ts";

const NAMES = Object.keys(SETTINGS) as SettingName[];
const FILE_NAME = "observer.toml";

function load({ config }: ConfigRequest, io: CliIo): LoadedConfig {
  return loadConfig({
    flags: {},
    ...(config === undefined ? {} : { file: config }),
    environment: io.env,
    cwd: io.cwd,
    uid: io.uid,
  });
}

/** Every setting with its value, and with `origin` where it came from. */
export function configShow(request: ConfigRequest, io: CliIo): Promise<number> {
  const { settings, origins } = load(request, io);
  if (request.json) {
    const shown = NAMES.map((name) => [
      name,
      request.origin ? { value: settings[name], origin: origins[name] } : settings[name],
    ]);
    io.stdout(`${JSON.stringify(Object.fromEntries(shown), null, 2)}\n`);
  } else {
    for (const name of NAMES) {
      const origin = request.origin ? `  # ${origins[name]}` : "";
      io.stdout(`${name} = ${JSON.stringify(settings[name])}${origin}\n`);
    }
  }
  return Promise.resolve(0);
}

/** Says whether the configuration can be used. @throws ObserverError `invalid` naming every problem. */
export function configValidate(request: ConfigRequest, io: CliIo): Promise<number> {
  const { warnings } = load(request, io);
  for (const warning of warnings) io.stderr(`${warning}\n`);
  if (request.json) io.stdout(`${JSON.stringify({ valid: true, warnings })}\n`);
  else io.stdout("configuration is valid\n");
  return Promise.resolve(0);
}

/** Writes a file with every setting at its default, commented out. Never overwrites one. */
export function configInit(request: ConfigRequest, io: CliIo): Promise<number> {
  const path = request.config ? resolve(io.cwd, request.config) : join(io.cwd, FILE_NAME);
  if (existsSync(path)) {
    throw new ObserverError("conflict", `Cannot write "${path}": it exists`);
  }
  writeFileSync(path, settingsToml());
  io.stdout(`${path}\n`);
  return Promise.resolve(0);
}

/** All settings as a TOML file, grouped by section, each with its sentence. */
function settingsToml(): string {
  const lines = ["# Settings of observer; every line shows a default."];
  let section = "";
  for (const name of [...NAMES].sort((a, b) => sectionOf(a).localeCompare(sectionOf(b)))) {
    if (sectionOf(name) !== section) {
      section = sectionOf(name);
      lines.push("", `[${section}]`);
    }
    const key = name.slice(section === "" ? 0 : section.length + 1);
    lines.push(`# ${SETTINGS[name].help}`, `# ${key} = ${JSON.stringify(SETTINGS[name].default)}`);
  }
  return `${lines.join("\n")}\n`;
}

function sectionOf(name: string): string {
  return name.includes(".") ? (name.split(".")[0] ?? "") : "";
}
