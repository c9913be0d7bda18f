// The verb table: everything that `observer` can be told to do.

import { LOG_LEVELS } from "../telemetry/log.ts";
import type { Verb } from "./verb.ts";
import { agentsVerb, killVerb, pauseVerb, resumeVerb } from "./verbs/agents.ts";
import { checkpointVerbs } from "./verbs/checkpoint.ts";
import { completionScript, SHELLS } from "./verbs/completion.ts";
import { configVerbs } from "./verbs/config.ts";
import { doctorVerb } from "./verbs/doctor.ts";
import { eventsVerb } from "./verbs/events.ts";
import { demoVerb, importVerb, replayVerb } from "./verbs/files.ts";
import { interruptionsVerb } from "./verbs/interruptions.ts";
import { openVerb } from "./verbs/open.ts";
import { reactionsVerb } from "./verbs/reactions.ts";
import { restoreVerb } from "./verbs/restore.ts";
import { runVerb } from "./verbs/run.ts";
import { sessionsVerb } from "./verbs/sessions.ts";
import { statsVerb } from "./verbs/stats.ts";
import { statusVerb } from "./verbs/status.ts";
import { topVerb } from "./verbs/top.ts";
import { versionVerb } from "./verbs/version.ts";

/** Its flags are here for the help and the completion; the composition root reads them itself. */
export const serveVerb: Verb = {
  name: "serve",
  group: "Run",
  summary: "run observer (what happens without a verb)",
  flags: [
    { name: "port", value: "N", help: "TCP port of the API and the dashboard (default 3800)." },
    { name: "host", value: "ADDRESS", help: "Address to bind (default: both loopbacks)." },
    { name: "data", value: "DIR", help: "Where everything is kept." },
    { name: "config", value: "FILE", help: "Configuration file: TOML, YAML or JSON." },
    { name: "workspace", value: "DIR", many: true, help: "Directory that agents work in." },
    { name: "reactive", help: "Checkpoint workspaces when trouble is critical." },
    { name: "token-file", value: "FILE", help: "File with the admin token." },
    { name: "require-token", help: "Ask every caller for a token, also root." },
    { name: "insecure", help: "Bind beyond loopback without a token." },
    { name: "scope", value: "FILE", help: "Scope policy; not in this version, said at the start." },
    { name: "fleet", value: "URL", help: "NATS server of a fleet; not in this version." },
    { name: "hub", help: "Be the hub of a fleet; not in this version." },
    { name: "log-level", value: "LEVEL", help: "Least important level logged.", oneOf: LOG_LEVELS },
  ],
  examples: ["observer", "observer --port 3800 --reactive --workspace ~/app"],
  run: () =>
    Promise.reject(new Error("serve is run by the command line itself, with its own flags")),
};

const completionVerb: Verb = {
  name: "completion",
  group: "Set up",
  summary: "completion script for a shell",
  args: [{ name: "SHELL", required: true, oneOf: SHELLS }],
  flags: [],
  examples: ["observer completion bash > /etc/bash_completion.d/observer"],
  run(call) {
    const shell = SHELLS.find((name) => name === call.args[0]) ?? "bash";
    call.io.stdout(completionScript(shell, VERBS));
    return Promise.resolve(0);
  },
};

export const VERBS: readonly Verb[] = [
  serveVerb,
  runVerb,
  pauseVerb,
  resumeVerb,
  killVerb,
  demoVerb,
  statusVerb,
  topVerb,
  agentsVerb,
  sessionsVerb,
  eventsVerb,
  interruptionsVerb,
  reactionsVerb,
  statsVerb,
  openVerb,
  ...checkpointVerbs,
  restoreVerb,
  replayVerb,
  importVerb,
  doctorVerb,
  ...configVerbs,
  completionVerb,
  versionVerb,
];

/** Announced verbs that this version does not have, so that they are not taken for typing mistakes. */
export const VERBS_LATER: readonly string[] = [
  "watch",
  "playbooks",
  "hooks",
  "hook",
  "export",
  "sql",
  "purge",
  "mcp",
  "config schema",
  "service",
  "self-update",
];
