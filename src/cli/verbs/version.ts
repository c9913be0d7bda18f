// `observer version`: this program's version; works without a daemon.

import { BUILD_INFO } from "../../core/build-info.ts";
import { JSON_FLAG } from "../flags.ts";
import { printJson } from "../output.ts";
import type { Verb } from "../verb.ts";

export const versionVerb: Verb = {
  name: "version",
  group: "Set up",
  summary: "version of this program",
  flags: [JSON_FLAG],
  examples: ["observer version --json"],
  run(call) {
    if (call.flags.on("json")) return Promise.resolve(printJson(call, BUILD_INFO));
    const { version, commit, bun, platform } = BUILD_INFO;
    call.io.stdout(`observer ${version} (${commit}, bun ${bun}, ${platform})\n`);
    return Promise.resolve(0);
  },
};
