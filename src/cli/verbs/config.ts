// `observer config`: the settings in force and where they came from; done by what the composition root gave.

import { JSON_FLAG } from "../flags.ts";
import type { ConfigRequest } from "../local.ts";
import type { Call, Flag, Verb } from "../verb.ts";

const CONFIG_FLAG: Flag = { name: "config", value: "FILE", help: "Configuration file." };

function request(call: Call): ConfigRequest {
  const config = call.flags.text("config");
  return {
    json: call.flags.on("json"),
    origin: call.flags.on("origin"),
    ...(config === undefined ? {} : { config }),
  };
}

export const configVerbs: readonly Verb[] = [
  {
    name: "config show",
    group: "Set up",
    summary: "the settings in force",
    flags: [{ name: "origin", help: "Say where each value came from." }, CONFIG_FLAG, JSON_FLAG],
    examples: ["observer config show --origin"],
    run: (call) => call.local.configShow(request(call), call.io),
  },
  {
    name: "config validate",
    group: "Set up",
    summary: "check the configuration; every problem at once",
    flags: [CONFIG_FLAG, JSON_FLAG],
    examples: ["observer config validate --config observer.toml"],
    run: (call) => call.local.configValidate(request(call), call.io),
  },
  {
    name: "config init",
    group: "Set up",
    summary: "write a commented configuration file",
    about: "Writes observer.toml in this directory, or FILE. Never overwrites one.",
    flags: [CONFIG_FLAG],
    examples: ["observer config init", "observer config init --config ~/observer.toml"],
    run: (call) => call.local.configInit(request(call), call.io),
  },
];
