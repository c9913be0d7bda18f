// Writes docs/configuration.md from the table of settings; with --check it only says whether the page is true.

import { readFileSync, writeFileSync } from "node:fs";
import { environmentName, type SettingName, SETTINGS } from "../src/config/settings.ts";
import { formatDuration, formatSize } from "../src/core/units.ts";

const PAGE = "docs/configuration.md";

const HEAD = `# Configuration

observer needs none. What is set is taken from, in this order: flags, environment, file, default. A list in the
environment is separated by colons; a value may be given as a file by adding \`_FILE\` to the name. The file is
TOML, YAML or JSON by its ending (\`observer serve --config FILE\`, \`observer config init\` writes one), where a dotted
name is a section and a key. Durations are written \`250ms\`, \`30s\`, \`10m\`, \`2h\`, \`7d\` or as milliseconds; sizes
\`64k\`, \`512MiB\`, \`2GB\` or as bytes. A setting that does not exist, or a value that breaks a rule, stops the start
and every problem is named at once; \`observer config validate\` says the same without starting.

Older names still work: \`OBSERVER_CYCLE\` (seconds), \`GATEWAY_URL\`, \`LAKEHOUSE_URL\`, and a JSON file of the shape
\`{"reactive": {"enabled", "debounce_secs", "workspace"}}\`, whose other keys are reported and ignored.

This page is made from \`src/config/settings.ts\` by \`bun scripts/docs.ts\`.

| setting | environment | default | what it does |
|---|---|---|---|
`;

function shownDefault(name: SettingName): string {
  const { kind, default: value } = SETTINGS[name];
  if (kind === "duration") return formatDuration(value as number);
  if (kind === "size") return formatSize(value as number);
  if (Array.isArray(value)) return "none";
  return value === "" ? "" : String(value);
}

function row(name: SettingName): string {
  const definition = SETTINGS[name] as { help: string; oneOf?: readonly string[] };
  const values = definition.oneOf ? ` One of ${definition.oneOf.join(", ")}.` : "";
  return `| \`${name}\` | \`${environmentName(name)}\` | ${shownDefault(name)} | ${definition.help}${values} |`;
}

const page = `${HEAD}${(Object.keys(SETTINGS) as SettingName[]).map(row).join("\n")}\n`;
if (process.argv.includes("--check")) {
  if (readFileSync(PAGE, "utf8") !== page) {
    console.error(`${PAGE} is not what the settings say; run: bun scripts/docs.ts`);
    process.exit(1);
  }
} else {
  writeFileSync(PAGE, page);
}
