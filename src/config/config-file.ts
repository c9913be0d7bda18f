// Reads a configuration file: TOML, YAML or JSON by its ending, flattened to dotted setting names.

import { readFileSync } from "node:fs";
import { extname } from "node:path";
import { messageOf, ObserverError } from "../core/errors.ts";
import { SETTINGS } from "./settings.ts";

/** What a file says, and what should be told about it. */
export interface ConfigFile {
  path: string;
  values: Map<string, unknown>;
  warnings: string[];
}

/** @throws ObserverError `invalid` when it cannot be read or parsed. */
export function readConfigFile(path: string): ConfigFile {
  let parsed: unknown;
  try {
    parsed = parse(readFileSync(path, "utf8"), extname(path).toLowerCase());
  } catch (cause) {
    throw new ObserverError("invalid", `Cannot read configuration "${path}": ${messageOf(cause)}`, {
      cause,
    });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new ObserverError("invalid", `Cannot read configuration "${path}": it is not a table`);
  }
  return isSeedShape(parsed)
    ? readSeedShape(path, parsed)
    : { path, values: flatten(parsed), warnings: [] };
}

function parse(text: string, extension: string): unknown {
  switch (extension) {
    case ".toml":
      return Bun.TOML.parse(text);
    case ".yaml":
    case ".yml":
      return Bun.YAML.parse(text);
    case ".json":
      return JSON.parse(text);
    default:
      throw new Error(`its ending is "${extension}", known are .toml, .yaml, .yml, .json`);
  }
}

function flatten(table: object, prefix = ""): Map<string, unknown> {
  const values = new Map<string, unknown>();
  for (const [key, value] of Object.entries(table)) {
    const name = prefix + key;
    const isTable = typeof value === "object" && value !== null && !Array.isArray(value);
    if (isTable && !(name in SETTINGS)) {
      for (const [inner, leaf] of flatten(value as object, `${name}.`)) values.set(inner, leaf);
    } else {
      values.set(name, value);
    }
  }
  return values;
}

// The file of the system that observer's reactions were first built for:
// {"reactive": {"enabled", "debounce_secs", "workspace"}}, among keys of that system.
function isSeedShape(table: object): boolean {
  const reactive = (table as { reactive?: unknown }).reactive;
  return (
    typeof reactive === "object" &&
    reactive !== null &&
    ("debounce_secs" in reactive || "workspace" in reactive)
  );
}

function readSeedShape(path: string, table: object): ConfigFile {
  const { reactive, ...foreign } = table as { reactive: Record<string, unknown> };
  const values = new Map<string, unknown>();
  const warnings = Object.keys(foreign).map(
    (key) => `${path}: "${key}" is not observer's and is ignored`,
  );
  for (const [key, value] of Object.entries(reactive)) {
    if (key === "enabled") values.set("reactive.enabled", value);
    else if (key === "debounce_secs") values.set("reactive.debounce_ms", seconds(value));
    else if (key === "workspace")
      values.set("workspaces", value === null || value === "" ? [] : [value]);
    else warnings.push(`${path}: "reactive.${key}" is not observer's and is ignored`);
  }
  return { path, values, warnings };
}

function seconds(value: unknown): unknown {
  return typeof value === "number" ? value * 1_000 : value;
}
